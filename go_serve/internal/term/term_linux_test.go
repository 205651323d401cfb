package term

import (
	"fmt"
	"io"
	"os"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// window opens a pseudo-terminal of 40 columns: what the program sees, and the other end.
func window(t *testing.T) (inside, outside *os.File) {
	t.Helper()
	outside, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	var number, locked int32
	if !ioctl(outside, syscall.TIOCGPTN, unsafe.Pointer(&number)) || !ioctl(outside, syscall.TIOCSPTLCK, unsafe.Pointer(&locked)) {
		t.Skip("no pseudo-terminals here")
	}
	inside, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { inside.Close(); outside.Close() })
	resize(outside, 40, 10)
	return inside, outside
}

func resize(f *os.File, columns, rows uint16) {
	size := struct{ rows, columns, x, y uint16 }{rows, columns, 0, 0}
	ioctl(f, syscall.TIOCSWINSZ, unsafe.Pointer(&size))
}

func settings(t *testing.T, f *os.File) (s syscall.Termios) {
	t.Helper()
	if !ioctl(f, getSettings, unsafe.Pointer(&s)) {
		t.Fatal("no settings")
	}
	return s
}

func TestOpenAndClose(t *testing.T) {
	t.Setenv("TERM", "xterm")
	inside, outside := window(t)
	before := settings(t, inside)
	terminal := Open(inside, inside)
	if terminal == nil {
		t.Fatal("it is no terminal")
	}
	if now := settings(t, inside); now.Lflag&(syscall.ECHO|syscall.ICANON|syscall.ISIG) != 0 || now.Oflag != before.Oflag {
		t.Errorf("settings %+v", now)
	}
	if columns, rows := terminal.Size(); columns != 40 || rows != 10 {
		t.Errorf("size %d, %d", columns, rows)
	}
	outside.WriteString("a\x03\r")
	var typed [8]byte
	if n, err := terminal.Read(typed[:]); string(typed[:n]) != "a\x03\r" || err != nil {
		t.Errorf("read %q, %v", typed[:n], err)
	}
	resize(outside, 20, 10)
	syscall.Kill(syscall.Getpid(), syscall.SIGWINCH)
	syscall.Kill(syscall.Getpid(), syscall.SIGCONT)
	seen := map[Event]bool{}
	for range 2 {
		select {
		case e := <-terminal.Events():
			seen[e] = true
		case <-time.After(5 * time.Second):
			t.Fatal("no event")
		}
	}
	if columns, _ := terminal.Size(); columns != 20 || !seen[Resized] || !seen[Resumed] {
		t.Errorf("%d columns, events %v", columns, seen)
	}
	terminal.Close()
	terminal.Close()
	terminal.enter() // a signal that came late
	if settings(t, inside) != before {
		t.Errorf("left behind: %+v", settings(t, inside))
	}
	drawn := make([]byte, len(pasteOn+pasteOn+pasteOff))
	if _, err := io.ReadFull(outside, drawn); string(drawn) != pasteOn+pasteOn+pasteOff || err != nil {
		t.Errorf("drawn %q, %v", drawn, err)
	}
}

// TestPanicRestores: a deferred Close is enough.
func TestPanicRestores(t *testing.T) {
	t.Setenv("TERM", "xterm")
	inside, _ := window(t)
	before := settings(t, inside)
	func() {
		defer func() { recover() }()
		defer Open(inside, inside).Close()
		panic("a bug")
	}()
	if settings(t, inside) != before {
		t.Errorf("left behind: %+v", settings(t, inside))
	}
}

func TestNoTerminal(t *testing.T) {
	inside, outside := window(t)
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	t.Setenv("TERM", "xterm")
	if Open(null, inside) != nil || Open(inside, null) != nil || IsTerminal(null) || !IsTerminal(inside) {
		t.Error("a file passes for a terminal")
	}
	for _, name := range []string{"dumb", ""} {
		t.Setenv("TERM", name)
		if Open(inside, inside) != nil {
			t.Errorf("TERM=%q can move its cursor", name)
		}
	}
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "1")
	if WantsColour(inside) {
		t.Error("colours despite NO_COLOR")
	}
	resize(outside, 0, 0)
	if columns, rows := (&Terminal{out: inside}).Size(); columns != 80 || rows != 24 {
		t.Errorf("an unknown size is %d, %d", columns, rows)
	}
}
