//go:build darwin || freebsd || netbsd || openbsd

package term

import "syscall"

const (
	getSettings = syscall.TIOCGETA
	setSettings = syscall.TIOCSETA
)
