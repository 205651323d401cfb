// Package home is the person's place on this machine: the folder for what the program remembers, and how files are written, and
// changed by several programs at once. It does not know what they hold.
package home

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Path returns the path under which the program remembers something: name in the program's folder, which lies in the person's
// settings folder and need not exist. It is "" if there is no settings folder, and with MINITRON_HISTORY=off.
func Path(name string) string {
	settings, err := os.UserConfigDir()
	if err != nil || strings.EqualFold(os.Getenv("MINITRON_HISTORY"), "off") {
		return ""
	}
	return filepath.Join(settings, "minitron-chat", name)
}

// A lock is held for milliseconds. One that is older than staleLock was left behind by a crash.
const (
	lockPause = 2 * time.Millisecond
	staleLock = 10 * time.Second
)

// Lock waits until nobody else, in this program or another, holds the lock of a file, and takes it. Who reads a file and writes
// back what they made of it holds its lock meanwhile, or loses what others write between the two. The lock is a file beside it,
// which unlock removes. Where none can be made or removed, as in a folder that cannot be written, it goes without: what follows
// tells why.
func Lock(path string) (unlock func()) {
	name := path + ".lock"
	for {
		file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err == nil {
			file.Close()
			return func() { os.Remove(name) }
		}
		if !errors.Is(err, fs.ErrExist) {
			return func() {}
		}
		about, err := os.Stat(name)
		if err == nil && time.Since(about.ModTime()).Abs() > staleLock { // also from a future that the clock has been set back from
			if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return func() {}
			}
			continue
		}
		time.Sleep(lockPause)
	}
}

// ErrNotRegular says that a path is a folder or a device, which WriteFile does not replace.
var ErrNotRegular = errors.New("it is no ordinary file")

// WriteFile creates or replaces a file so that neither a reader nor a crash ever finds half of it: the data is written under
// another name in the same folder, flushed and renamed. A link to a file stays a link. An existing file keeps its permissions;
// a new one is for its owner alone.
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
		err = file.Sync() // otherwise the name may stand for an empty file after a power cut
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

// syncFolder makes the new name permanent. On systems where folders cannot be flushed, such as Windows, the file system does
// that itself.
func syncFolder(path string) {
	if folder, err := os.Open(path); err == nil {
		folder.Sync()
		folder.Close()
	}
}
