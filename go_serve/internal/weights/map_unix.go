//go:build linux || darwin

package weights

import (
	"os"
	"syscall"
)

// mapFile maps the first size bytes of a file, read-only. ok is false if that is not possible.
func mapFile(file *os.File, size int) (data []byte, release func() error, ok bool) {
	data, err := syscall.Mmap(int(file.Fd()), 0, size, syscall.PROT_READ, syscall.MAP_PRIVATE)
	if err != nil {
		return nil, nil, false
	}
	return data, func() error { return syscall.Munmap(data) }, true
}
