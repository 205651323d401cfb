// Package term is the terminal that a person sits at: what a file is, how large the window is, and its modes.
package term

import (
	"os"
	"runtime"
	"strings"
	"sync"
	"unicode"
)

// IsTerminal reports whether a person looks at f.
func IsTerminal(f *os.File) bool { return isTerminal(f) }

// WantsColour reports whether f may get colours: a terminal that knows escape sequences, without NO_COLOR and not TERM=dumb.
// It is asked after Prepare.
func WantsColour(f *os.File) bool {
	return IsTerminal(f) && escapes(f) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// moves reports whether terminals like this one understand escape sequences. Windows has no TERM, elsewhere every real
// terminal sets it.
func moves() bool {
	name, set := os.LookupEnv("TERM")
	return name != "dumb" && (set && name != "" || runtime.GOOS == "windows")
}

// Columns returns how wide the window is in which f shows.
func Columns(f *os.File) int {
	columns, _ := known(size(f))
	return columns
}

// known is a size, where a serial line does not know its own.
func known(columns, rows int) (int, int) {
	if columns < 1 || rows < 1 {
		return 80, 24
	}
	return columns, rows
}

// Plain is a text as it can be shown: what came from a model or a file must not steer the terminal, so each character that
// could becomes U+FFFD.
func Plain(text string) string {
	return strings.Map(func(c rune) rune {
		if Steers(c) {
			return '\uFFFD'
		}
		return c
	}, text)
}

// Steers reports whether a terminal would do something at a character but show it: a control character other than tab and
// newline, or one that turns around the text that follows (embeddings, overrides and isolates of UAX #9).
func Steers(c rune) bool {
	return c != '\t' && c != '\n' && unicode.IsControl(c) || c >= 0x202a && c <= 0x202e || c >= 0x2066 && c <= 0x2069
}

// Event is what happens to a terminal beside keys.
type Event int

const (
	Resized Event = iota
	Resumed       // the program was stopped, and something else may be on the screen
)

// Terminal is a keyboard that is read key by key and the screen that belongs to it. Between Open and Close nothing that is
// typed shows by itself, and Ctrl-C is a key like others.
type Terminal struct {
	in, out *os.File
	events  chan Event
	done    chan struct{} // closed by Close
	mu      sync.Mutex    // signals come at any time
	keyboard
}

// Pasted text comes between marks while this is on, so that its newlines are no Enter.
const pasteOn, pasteOff = "\x1b[?2004h", "\x1b[?2004l"

// Open takes over the terminal of in and out. It returns nil where lines cannot be edited: no terminal, or one that cannot
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

// Close puts everything back as Open found it. It may be called twice.
func (t *Terminal) Close() {
	select {
	case <-t.done:
		return
	default:
		close(t.done)
	}
	t.leave()
}

// leave makes the terminal fit for another program.
func (t *Terminal) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.out.WriteString(pasteOff)
	t.cooked()
}

// enter is what undoes leave, until Close.
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

// Write draws.
func (t *Terminal) Write(p []byte) (int, error) { return t.out.Write(p) }

// Events tells what happens beside keys.
func (t *Terminal) Events() <-chan Event { return t.events }

// tell never waits: an event more that nobody takes changes nothing.
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
