// Package home is the person's place on this machine: the folder for what the program remembers, and how files get there.
// It does not know what they hold.
package home

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Path returns where the program remembers something under a name: in its folder among the person's settings, which need
// not exist. It is "" where there is no such folder, and with MINITRON_HISTORY=off.
func Path(name string) string {
	settings, err := os.UserConfigDir()
	if err != nil || strings.EqualFold(os.Getenv("MINITRON_HISTORY"), "off") {
		return ""
	}
	return filepath.Join(settings, "minitron-chat", name)
}

// ErrNotRegular is for a folder or a device, which a file does not replace.
var ErrNotRegular = errors.New("it is no ordinary file")

// WriteFile puts a file in the place of another or where none was, so that neither a reader nor a crash ever finds half of
// it: it is written under another name in the same folder, flushed and renamed. A link to a file stays one. What was there
// keeps its permissions; a new file is for its owner alone.
func WriteFile(path string, data []byte) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	there, err := os.Stat(path)
	switch {
	case err == nil && !there.Mode().IsRegular():
		return ErrNotRegular
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".minitron-*") // only its owner can read it
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err == nil && there != nil {
		err = file.Chmod(there.Mode().Perm())
	}
	if err == nil {
		err = file.Sync() // else, after a power cut, the name may stand for an empty file
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		os.Remove(file.Name())
		return err
	}
	syncFolder(filepath.Dir(path))
	return nil
}

// syncFolder makes the new name last. Where folders cannot be flushed, as on Windows, the file system sees to it.
func syncFolder(path string) {
	if folder, err := os.Open(path); err == nil {
		folder.Sync()
		folder.Close()
	}
}
