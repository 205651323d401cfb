package term

import "syscall"

const (
	getSettings = syscall.TCGETS
	setSettings = syscall.TCSETS
)
