//go:build unix

package term

import (
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"
	"unsafe"
)

func ioctl(f *os.File, request uintptr, argument unsafe.Pointer) bool {
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), request, uintptr(argument))
	return errno == 0
}

// isTerminal asks for the terminal settings: only a terminal has any.
func isTerminal(f *os.File) bool {
	var settings syscall.Termios
	return ioctl(f, getSettings, unsafe.Pointer(&settings))
}

// escapes returns true: all terminals on these systems understand escape sequences.
func escapes(*os.File) bool { return true }

// Prepare does nothing on these systems: terminals understand UTF-8 and escape sequences.
func Prepare() (restore func()) { return func() {} }

// keyboard holds the settings of the keyboard before Open.
type keyboard struct{ before syscall.Termios }

func (t *Terminal) remember() bool { return ioctl(t.in, getSettings, unsafe.Pointer(&t.before)) }

func (t *Terminal) cooked() { ioctl(t.in, setSettings, unsafe.Pointer(&t.before)) }

// raw makes every byte arrive at once and as it was sent, also Ctrl-C and Ctrl-S. The output settings stay as they are, because
// answers end their lines with \n alone.
func (t *Terminal) raw() bool {
	s := t.before
	s.Iflag &^= syscall.ICRNL | syscall.INLCR | syscall.IGNCR | syscall.IXON | syscall.ISTRIP
	s.Lflag &^= syscall.ICANON | syscall.ECHO | syscall.ECHONL | syscall.IEXTEN | syscall.ISIG
	s.Cc[syscall.VMIN], s.Cc[syscall.VTIME] = 1, 0
	return ioctl(t.in, setSettings, unsafe.Pointer(&s))
}

// Read reads what was typed.
func (t *Terminal) Read(p []byte) (int, error) { return t.in.Read(p) }

func size(f *os.File) (columns, rows int) {
	var window struct{ rows, columns, x, y uint16 }
	ioctl(f, syscall.TIOCGWINSZ, unsafe.Pointer(&window))
	return int(window.columns), int(window.rows)
}

// watch handles the signals that concern a terminal, until Close.
func (t *Terminal) watch() {
	signals := make(chan os.Signal, 8)
	deadly := []os.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT}
	deadly = slices.DeleteFunc(deadly, signal.Ignored) // as under nohup
	signal.Notify(signals, append(deadly, syscall.SIGWINCH, syscall.SIGCONT)...)
	go func() {
		defer signal.Stop(signals)
		for {
			select {
			case <-t.done:
				return
			case s := <-signals:
				t.obey(s)
			}
		}
	}()
}

func (t *Terminal) obey(s os.Signal) {
	switch s {
	case syscall.SIGWINCH:
		t.tell(Resized)
	case syscall.SIGCONT: // meanwhile the shell has set the terminal for itself
		t.enter()
		t.tell(Resumed)
	default: // die of the signal as if it had never been caught
		t.leave()
		signal.Reset(s)
		syscall.Kill(syscall.Getpid(), s.(syscall.Signal))
	}
}

// Suspend is Ctrl-Z: it stops the program, and all others of its pipeline, as the terminal itself would, until they are
// continued. It reports whether this system can do that. SIGTSTP is never caught, because Go would not restore its default
// effect.
func (t *Terminal) Suspend() bool {
	goesOn := make(chan os.Signal, 1)
	signal.Notify(goesOn, syscall.SIGCONT)
	defer signal.Stop(goesOn)
	t.leave()
	syscall.Kill(0, syscall.SIGTSTP)
	select { // the signal may take a moment
	case <-goesOn:
	case <-time.After(200 * time.Millisecond): // the system does not stop a program that no shell could continue
	}
	t.enter()
	return true
}
