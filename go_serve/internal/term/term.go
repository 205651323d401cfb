// Package term is the terminal that a person sits at: whether a file is a terminal, how large the window is, and its modes.
package term

import (
	"os"
	"runtime"
	"strings"
	"sync"
	"unicode"
)

// IsTerminal reports whether f is a terminal.
func IsTerminal(f *os.File) bool { return isTerminal(f) }

// WantsColour reports whether colours may be written to f: it must be a terminal that knows escape sequences, NO_COLOR must not
// be set, and TERM must not be dumb. Call it after Prepare.
func WantsColour(f *os.File) bool {
	return IsTerminal(f) && escapes(f) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// moves reports whether the terminal understands escape sequences, by TERM. Windows has no TERM; elsewhere every real terminal
// sets it.
func moves() bool {
	name, set := os.LookupEnv("TERM")
	return name != "dumb" && (set && name != "" || runtime.GOOS == "windows")
}

// Columns returns the width of the window that shows f.
func Columns(f *os.File) int {
	columns, _ := known(size(f))
	return columns
}

// known returns a size, or 80 by 24 if the size is unknown, as on a serial line.
func known(columns, rows int) (int, int) {
	if columns < 1 || rows < 1 {
		return 80, 24
	}
	return columns, rows
}

// Plain returns a text that can be shown: text from a model or a file must not control the terminal, so each character that
// could becomes U+FFFD.
func Plain(text string) string {
	return strings.Map(func(c rune) rune {
		if Steers(c) {
			return '\uFFFD'
		}
		return c
	}, text)
}

// Steers reports whether a character makes a terminal do anything other than show it: a control character other than tab and
// newline, or one that changes the direction of the following text (embeddings, overrides and isolates of UAX #9).
func Steers(c rune) bool {
	return c != '\t' && c != '\n' && unicode.IsControl(c) || c >= 0x202a && c <= 0x202e || c >= 0x2066 && c <= 0x2069
}

// Event is something other than a key that happens to a terminal.
type Event int

const (
	Resized Event = iota
	Resumed       // the program was stopped and goes on: something else may be on the screen
)

// Terminal is a keyboard that is read key by key, and the screen that belongs to it. Between Open and Close typed characters do
// not appear by themselves, and Ctrl-C is a key like any other.
type Terminal struct {
	in, out *os.File
	events  chan Event
	done    chan struct{} // closed by Close
	mu      sync.Mutex    // needed because signals come at any time
	keyboard
}

// While this is on, the terminal puts marks around pasted text, so that its newlines do not count as Enter.
const pasteOn, pasteOff = "\x1b[?2004h", "\x1b[?2004l"

// Open takes over the terminal of in and out. It returns nil if lines cannot be edited: if there is no terminal, or it cannot
// move its cursor.
func Open(in, out *os.File) *Terminal {
	if !IsTerminal(in) || !IsTerminal(out) || !moves() {
		return nil
	}
	t := &Terminal{in: in, out: out, events: make(chan Event, 8), done: make(chan struct{})}
	if !t.remember() || !t.raw() {
		return nil
	}
	t.watch()
	t.out.WriteString(pasteOn)
	return t
}

// Close restores the terminal as Open found it. It may be called twice.
func (t *Terminal) Close() {
	select {
	case <-t.done:
		return
	default:
		close(t.done)
	}
	t.leave()
}

// leave puts the terminal into the state that other programs expect.
func (t *Terminal) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.out.WriteString(pasteOff)
	t.cooked()
}

// enter undoes leave, unless Close was called.
func (t *Terminal) enter() {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-t.done:
		return
	default:
	}
	t.raw()
	t.out.WriteString(pasteOn)
}

// Write writes to the screen.
func (t *Terminal) Write(p []byte) (int, error) { return t.out.Write(p) }

// Events returns the channel of events.
func (t *Terminal) Events() <-chan Event { return t.events }

// tell sends an event. It never waits: if the channel is full, the event is dropped, which does no harm.
func (t *Terminal) tell(e Event) {
	select {
	case t.events <- e:
	default:
	}
}

// Size returns the size of the window, in characters.
func (t *Terminal) Size() (columns, rows int) {
	return known(size(t.out))
}
