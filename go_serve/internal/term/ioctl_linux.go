package term

import "syscall"

const getSettings = syscall.TCGETS
