package term

import (
	"os"
	"unsafe"
)

var getConsoleProcessList = kernel32.NewProc("GetConsoleProcessList")

// HoldWindow shows a text and waits for Enter if the console's window would vanish with this program before anyone could read
// the last message: after a double click the program is alone in its console, under a shell it is not.
func HoldWindow(text string) {
	var processes [2]uint32
	n, _, _ := getConsoleProcessList.Call(uintptr(unsafe.Pointer(&processes)), uintptr(len(processes)))
	if n != 1 || !isTerminal(os.Stdin) {
		return
	}
	os.Stderr.WriteString("\n" + text + "\n")
	var line [64]byte
	os.Stdin.Read(line[:]) // returns a whole line, or an error, which is no reason to stay either
}
