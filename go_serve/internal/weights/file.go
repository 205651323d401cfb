package weights

import (
	"errors"
	"io"
	"io/fs"
	"math"
	"os"

	"minitron/internal/fault"
)

// File is the bytes of a file: read, mapped into memory, or in place inside the program.
type File struct {
	Name    string
	Data    []byte // never written to: its pages may be read-only
	release func() error
}

// Close gives the memory back to the system: Data must not be used any more.
func (f *File) Close() error {
	if f.release == nil {
		return nil
	}
	return f.release()
}

// Read reads a whole file. check is given its size first and may refuse it, so that no file decides by itself how much is
// allocated.
func Read(fsys fs.FS, name string, check func(size int64) error) (*File, error) {
	return open(fsys, name, check, false)
}

// Map is Read for a large file. The file is mapped, so that only what is used comes into memory, shared with the copy that the
// system keeps of the file anyway. If that does not work, the file is read.
func Map(fsys fs.FS, name string, check func(size int64) error) (*File, error) {
	return open(fsys, name, check, true)
}

func open(fsys fs.FS, name string, check func(size int64) error, mapped bool) (*File, error) {
	file, size, err := openRegular(fsys, name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if err := check(size); err != nil {
		return nil, err
	}
	if size > math.MaxInt { // on a 32-bit system
		return nil, fault.New("use a smaller model", "%s is too large for this system (%d bytes)", name, size)
	}
	switch file := file.(type) {
	case *stringFile:
		return &File{Name: name, Data: file.bytes()}, nil
	case *os.File:
		if mapped {
			if data, release, ok := mapFile(file, int(size)); ok {
				return &File{name, data, release}, nil
			}
		}
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(file, data); err != nil {
		return nil, unreadable(name, err)
	}
	return &File{Name: name, Data: data}, nil
}

// openRegular opens a regular file and returns its size.
func openRegular(fsys fs.FS, name string) (fs.File, int64, error) {
	const hint = "name a directory with config.json, vocab.json and weights.bin"
	// Stat comes first: opening a named pipe would wait for a writer.
	info, err := fs.Stat(fsys, name)
	if err == nil && !info.Mode().IsRegular() {
		return nil, 0, fault.New(hint, "%s is not a regular file", name)
	}
	var file fs.File
	if err == nil {
		file, err = fsys.Open(name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, fault.New(hint, "there is no %s in the bundle", name)
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
	return fault.New("check the file's permissions and the disk", "%s cannot be read: %w", name, err)
}
