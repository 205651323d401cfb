//go:build unix

package term

import (
	"os"
	"syscall"
	"unsafe"
)

// isTerminal asks for the terminal settings: only a terminal has any.
func isTerminal(f *os.File) bool {
	var settings [256]byte // larger than any system's struct termios
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), getSettings, uintptr(unsafe.Pointer(&settings)))
	return errno == 0
}

// Prepare has nothing to do here: terminals understand UTF-8 and escape sequences.
func Prepare() (restore func()) { return func() {} }
