package weights

import (
	"io"
	"io/fs"
	"time"
	"unsafe"
)

// Strings is a file system of a few files in memory, by name. Read and Map use them in place. With //go:embed a string lies in
// read-only pages of the executable, of which the system loads those that are touched; an embed.FS would copy them.
type Strings map[string]string

// Open opens a file.
func (s Strings) Open(name string) (fs.File, error) {
	text, ok := s[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &stringFile{name: name, text: text}, nil
}

// stringFile is an open file of Strings, and also its fs.FileInfo.
type stringFile struct {
	name, text string
	at         int
}

func (f *stringFile) Read(p []byte) (int, error) {
	if f.at == len(f.text) {
		return 0, io.EOF
	}
	n := copy(p, f.text[f.at:])
	f.at += n
	return n, nil
}

func (f *stringFile) Close() error               { return nil }
func (f *stringFile) Stat() (fs.FileInfo, error) { return f, nil }
func (f *stringFile) Name() string               { return f.name }
func (f *stringFile) Size() int64                { return int64(len(f.text)) }
func (f *stringFile) Mode() fs.FileMode          { return 0o444 }
func (f *stringFile) ModTime() time.Time         { return time.Time{} }
func (f *stringFile) IsDir() bool                { return false }
func (f *stringFile) Sys() any                   { return nil }

// bytes returns the text in place. Writing to it would end the program.
func (f *stringFile) bytes() []byte { return unsafe.Slice(unsafe.StringData(f.text), len(f.text)) }
