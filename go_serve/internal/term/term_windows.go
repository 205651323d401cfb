package term

import (
	"os"
	"syscall"
)

var (
	kernel32           = syscall.NewLazyDLL("kernel32.dll")
	setConsoleMode     = kernel32.NewProc("SetConsoleMode")
	getConsoleOutputCP = kernel32.NewProc("GetConsoleOutputCP")
	setConsoleOutputCP = kernel32.NewProc("SetConsoleOutputCP")
)

// isTerminal asks for the console mode: only a console has one.
func isTerminal(f *os.File) bool {
	var mode uint32
	return syscall.GetConsoleMode(syscall.Handle(f.Fd()), &mode) == nil
}

// Prepare makes the console understand UTF-8 and escape sequences until restore is called.
func Prepare() (restore func()) {
	const utf8, processEscapes = 65001, 0x0004 // CP_UTF8, ENABLE_VIRTUAL_TERMINAL_PROCESSING
	out := syscall.Handle(os.Stdout.Fd())
	var mode uint32
	if syscall.GetConsoleMode(out, &mode) != nil {
		return func() {}
	}
	codePage, _, _ := getConsoleOutputCP.Call()
	setConsoleOutputCP.Call(utf8)
	setConsoleMode.Call(uintptr(out), uintptr(mode|processEscapes))
	return func() {
		setConsoleMode.Call(uintptr(out), uintptr(mode))
		setConsoleOutputCP.Call(codePage)
	}
}
