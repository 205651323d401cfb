package bundle

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"minitron/internal/fault"
)

// The largest files that are parsed, in bytes. What parsing builds is a few times as large at most.
var maxBytes = map[string]int64{"config.json": 4 << 20, "vocab.json": 128 << 20}

// open opens a regular file and returns its size.
func open(fsys fs.FS, name string) (fs.File, int64, error) {
	// Stat comes first: opening a named pipe would wait for a writer.
	info, err := fs.Stat(fsys, name)
	if err == nil && !info.Mode().IsRegular() {
		return nil, 0, fault.New("name a directory with config.json, vocab.json and weights.bin", "%s is not a regular file", name)
	}
	var file fs.File
	if err == nil {
		file, err = fsys.Open(name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, fault.New("name a directory with config.json, vocab.json and weights.bin", "there is no %s in the bundle", name)
	}
	if err != nil {
		return nil, 0, unreadable(name, err)
	}
	if info, err = file.Stat(); err != nil {
		file.Close()
		return nil, 0, unreadable(name, err)
	}
	return file, info.Size(), nil
}

func unreadable(name string, err error) error {
	return fault.New("look at the rights of the file and at the disk", "%s cannot be read: %w", name, err)
}

// readSmall reads a whole file that will be parsed; want is its size where that is known, else -1.
func readSmall(fsys fs.FS, name string, want int64) ([]byte, error) {
	file, size, err := open(fsys, name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if limit := maxBytes[name]; size > limit {
		return nil, fault.New(hintAgain, "%s is too large (%d bytes, at most %d are read)", name, size, limit)
	}
	if want >= 0 {
		if err := checkSize(name, size, want); err != nil {
			return nil, err
		}
	}
	return readAll(file, name, size)
}

// readLarge returns the bytes of a file that must have size bytes, and how to give them back. They are mapped, so that
// only what is used comes into memory, from where the system keeps its copy of the file anyway; where that does not work
// they are read.
func readLarge(fsys fs.FS, name string, size int64) (data []byte, release func() error, err error) {
	file, got, err := open(fsys, name)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	if err := checkSize(name, got, size); err != nil {
		return nil, nil, err
	}
	if onDisk, ok := file.(*os.File); ok {
		if data, release, ok = mapFile(onDisk, size); ok {
			return data, release, nil
		}
	}
	data, err = readAll(file, name, size)
	return data, func() error { return nil }, err
}

// readAll reads the size bytes that Stat promised.
func readAll(file fs.File, name string, size int64) ([]byte, error) {
	data := make([]byte, size)
	if _, err := io.ReadFull(file, data); err != nil {
		return nil, unreadable(name, err)
	}
	return data, nil
}
