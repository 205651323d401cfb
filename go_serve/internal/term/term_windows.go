package term

import (
	"os"
	"syscall"
	"time"
	"unicode/utf16"
	"unsafe"
)

var (
	kernel32                   = syscall.NewLazyDLL("kernel32.dll")
	setConsoleMode             = kernel32.NewProc("SetConsoleMode")
	getConsoleOutputCP         = kernel32.NewProc("GetConsoleOutputCP")
	setConsoleOutputCP         = kernel32.NewProc("SetConsoleOutputCP")
	getConsoleScreenBufferInfo = kernel32.NewProc("GetConsoleScreenBufferInfo")
)

// Bits of a console's mode.
const (
	processedInput  = 0x0001 // Ctrl-C is a signal
	lineInput       = 0x0002
	echoInput       = 0x0004
	escapesInInput  = 0x0200 // ENABLE_VIRTUAL_TERMINAL_INPUT: arrows arrive as escape sequences
	escapesInOutput = 0x0004 // ENABLE_VIRTUAL_TERMINAL_PROCESSING
)

func consoleMode(f *os.File) (mode uint32, ok bool) {
	err := syscall.GetConsoleMode(syscall.Handle(f.Fd()), &mode)
	return mode, err == nil
}

func setMode(f *os.File, mode uint32) bool {
	done, _, _ := setConsoleMode.Call(f.Fd(), uintptr(mode))
	return done != 0
}

// isTerminal asks for the console mode: only a console has one.
func isTerminal(f *os.File) bool {
	_, ok := consoleMode(f)
	return ok
}

// escapes reports whether the console obeys escape sequences; Windows' own can do that since 2016.
func escapes(f *os.File) bool {
	mode, _ := consoleMode(f)
	return mode&escapesInOutput != 0
}

// Prepare makes the console understand UTF-8 and escape sequences, until restore is called.
func Prepare() (restore func()) {
	const utf8 = 65001                                   // CP_UTF8
	for _, f := range []*os.File{os.Stdout, os.Stderr} { // either of them may be a file
		mode, ok := consoleMode(f)
		if !ok {
			continue
		}
		codePage, _, _ := getConsoleOutputCP.Call()
		setConsoleOutputCP.Call(utf8)
		setMode(f, mode|escapesInOutput)
		return func() {
			setMode(f, mode)
			setConsoleOutputCP.Call(codePage)
		}
	}
	return func() {}
}

// keyboard holds the mode of the console before Open, and the first half of a surrogate pair whose second half has not been
// read yet.
type keyboard struct {
	before uint32
	half   []uint16
}

func (t *Terminal) remember() (ok bool) {
	t.before, ok = consoleMode(t.in)
	return ok && escapes(t.out)
}

func (t *Terminal) cooked() { setMode(t.in, t.before) }

// raw makes every key readable at once, also Ctrl-C.
func (t *Terminal) raw() bool {
	return setMode(t.in, t.before&^(processedInput|lineInput|echoInput)|escapesInInput)
}

// Read reads what was typed, as UTF-8. The console's own UTF-8 mode loses characters, and Go's os.File takes Ctrl-Z for the end
// of input.
func (t *Terminal) Read(p []byte) (int, error) {
	units := make([]uint16, max(2, len(p)/3)) // a unit may become three bytes
	for {
		had := copy(units, t.half)
		var n uint32
		err := syscall.ReadConsole(syscall.Handle(t.in.Fd()), &units[had], uint32(len(units)-had), &n, nil)
		if err != nil {
			return 0, err
		}
		read := units[:had+int(n)]
		t.half = nil
		if last := len(read) - 1; last >= 0 && read[last] >= 0xd800 && read[last] < 0xdc00 {
			t.half, read = []uint16{read[last]}, read[:last]
		}
		if len(read) > 0 {
			return copy(p, string(utf16.Decode(read))), nil
		}
	}
}

func size(f *os.File) (columns, rows int) {
	var info struct { // CONSOLE_SCREEN_BUFFER_INFO
		columns, rows, cursorX, cursorY int16
		attributes                      uint16
		left, top, right, bottom        int16 // the part that the window shows
		maxColumns, maxRows             int16
	}
	if done, _, _ := getConsoleScreenBufferInfo.Call(f.Fd(), uintptr(unsafe.Pointer(&info))); done == 0 {
		return 0, 0
	}
	return int(info.right-info.left) + 1, int(info.bottom-info.top) + 1
}

// watch polls the size, as a console sends no signal. When a console is closed it ends the program, and nothing has to be
// restored.
func (t *Terminal) watch() {
	go func() {
		columns, rows := t.Size()
		for {
			select {
			case <-t.done:
				return
			case <-time.After(250 * time.Millisecond):
			}
			if c, r := t.Size(); c != columns || r != rows {
				columns, rows = c, r
				t.tell(Resized)
			}
		}
	}()
}

// Suspend returns false: Windows cannot do it.
func (t *Terminal) Suspend() bool { return false }
