package edit

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"time"

	"minitron/internal/term"
)

// ErrInterrupted is a Ctrl-C at the prompt.
var ErrInterrupted = errors.New("interrupted")

// Terminal is what a Reader needs of a terminal.
type Terminal interface {
	io.ReadWriter
	Size() (columns, rows int)
	Events() <-chan term.Event
	Suspend() bool
}

// Reader reads messages from a terminal.
type Reader struct {
	Terminal   Terminal
	Interrupts <-chan os.Signal // Ctrl-C that comes as a signal; may be nil
	History    *History
	Words      Words
	Colour     bool
	Complete   func(text string) []string
	Goes       func(text string) bool

	after  func(time.Duration) <-chan time.Time // tests set it in place of time.After
	keys   parser
	wants  chan struct{} // asks the reading goroutine for more
	comes  chan []byte   // closed when the keyboard is gone
	asked  bool
	screen screen
}

// Read lets a person write a message, which begins with text, and returns it. The error is ErrInterrupted after Ctrl-C, and
// io.EOF when the person wants to leave. With remember, completion and messages of several lines are on, and the message goes
// into the history.
func (r *Reader) Read(prompt, text string, remember bool) (string, error) {
	e := NewEditor(prompt, r.History.Entries(), text)
	e.Words = r.Words
	if remember {
		e.Complete, e.Goes = r.Complete, r.Goes
	}
	r.screen = screen{colour: r.Colour}
	for {
		action, err := r.take(e)
		if err != nil {
			return "", err
		}
		switch action {
		case Submit:
			r.finish(e)
			if remember {
				r.History.Add(e.Text())
			}
			return e.Text(), nil
		case Interrupted:
			r.finish(e)
			return e.Text(), ErrInterrupted
		case Leave:
			r.finish(e)
			return "", io.EOF
		}
	}
}

// During watches the keyboard while no message is written: Ctrl-C calls interrupt, Ctrl-Z suspends, all else waits for the
// next Read. It goes on until stop is called.
func (r *Reader) During(interrupt func()) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			r.ask()
			select {
			case b, open := <-r.comes:
				if !open {
					return
				}
				r.asked = false
				r.between(b, interrupt)
			case <-r.Interrupts:
				interrupt()
			case <-quit:
				return
			}
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}

// between keeps what was typed for the next Read, but obeys Ctrl-C and Ctrl-Z at once. Ctrl-C discards what was typed before it
// if that holds an Enter, that is a message to send; the beginning of a message stays.
func (r *Reader) between(typed []byte, interrupt func()) {
	for len(typed) > 0 {
		n := bytes.IndexAny(typed, ctrlC+ctrlZ)
		if n < 0 {
			r.feed(typed)
			return
		}
		r.feed(typed[:n])
		if typed[n] == ctrlC[0] {
			if bytes.ContainsAny(r.keys.bytes, "\r\n") {
				r.keys = parser{}
			}
			interrupt()
		} else {
			r.Terminal.Suspend()
		}
		typed = typed[n+1:]
	}
}

const ctrlC, ctrlZ = "\x03", "\x1a"

// feed takes the bytes of one read. Nobody types text behind an Enter so fast that one read holds both: it was pasted. If the
// terminal did not mark the paste, feed marks it, so that its newlines send nothing.
func (r *Reader) feed(b []byte) {
	cut := r.keys.take(len(r.keys.bytes))
	n := whole(cut) // the first bytes of a character may have come in an earlier read
	r.keys.feed(cut[:n])
	b = slices.Concat(cut[n:], b)
	if n = whole(b); looksPasted(b) && !r.keys.open() {
		b = slices.Concat([]byte(pasteBegin), b[:n], []byte(pasteEnd), b[n:])
	}
	r.keys.feed(b)
}

// looksPasted reports whether there is text behind a newline, and no control key anywhere.
func looksPasted(b []byte) bool {
	isKey := func(c rune) bool { return c < controlKey && c != '\t' && c != '\r' && c != '\n' || c == 0x7f }
	newline := bytes.IndexAny(b, "\r\n")
	return newline >= 0 && len(bytes.TrimSpace(b[newline:])) > 0 && !bytes.ContainsFunc(b, isKey)
}

// A read of largeRead bytes or more was not typed: what comes within a moment after it belongs to it.
const (
	largeRead = 512
	moment    = 20 * time.Millisecond
)

// rest adds what belongs to a large read: showing the message after each part of a paste would cost too much.
func (r *Reader) rest(b []byte) []byte {
	for large := len(b) >= largeRead; large; {
		r.ask()
		select {
		case more, open := <-r.comes:
			if !open {
				return b
			}
			r.asked = false
			b = append(b, more...)
			large = len(more) >= largeRead
		case <-r.timer(moment):
			return b
		}
	}
	return b
}

// timer is time.After, or what a test put in its place.
func (r *Reader) timer(wait time.Duration) <-chan time.Time {
	if r.after != nil {
		return r.after(wait)
	}
	return time.After(wait)
}

// ask lets the reading goroutine read, unless it does already.
func (r *Reader) ask() {
	if r.wants == nil {
		r.wants, r.comes = make(chan struct{}, 1), make(chan []byte)
		go r.read()
	}
	if !r.asked {
		r.asked = true
		r.wants <- struct{}{}
	}
}

// read reads keys when asked to, until the keyboard is gone.
func (r *Reader) read() {
	defer close(r.comes)
	buffer := make([]byte, 1<<16)
	for range r.wants {
		n, err := r.Terminal.Read(buffer)
		if err != nil || n == 0 {
			return
		}
		r.comes <- append([]byte(nil), buffer[:n]...)
	}
}

// take hands the keys that have come to e, and then waits for more keys or other events.
func (r *Reader) take(e *Editor) (Action, error) {
	for {
		key, ok := r.keys.next(false)
		if !ok {
			break
		}
		if action := r.handle(e, key); action != None {
			return action, nil
		}
	}
	r.draw(e)
	var alone <-chan time.Time
	if wait := r.keys.wait(); wait > 0 {
		alone = r.timer(wait)
	}
	r.ask()
	select {
	case b, open := <-r.comes:
		if !open { // the terminal is gone
			return None, io.EOF
		}
		r.asked = false
		r.feed(r.rest(b))
	case <-alone:
		if key, ok := r.keys.next(true); ok {
			return r.handle(e, key), nil
		}
	case <-r.Interrupts:
		return e.Handle(Key{Code: Interrupt}), nil
	case event := <-r.Terminal.Events():
		if event == term.Resumed { // draw may see a new size for itself
			r.Terminal.Write(r.screen.restart())
		}
	}
	return None, nil
}

// handle is Editor.Handle, with what only a terminal can do.
func (r *Reader) handle(e *Editor, key Key) Action {
	action := e.Handle(key)
	switch action {
	case ClearScreen:
		r.Terminal.Write(r.screen.clear())
		return None
	case Stop:
		r.draw(e)
		r.Terminal.Write(r.screen.below())
		if !r.Terminal.Suspend() {
			return e.Handle(Key{Code: EndOfInput}) // Windows: Ctrl-Z is its Ctrl-D
		}
		return None
	}
	return action
}

func (r *Reader) draw(e *Editor) {
	columns, rows := r.Terminal.Size()
	f := e.layout(columns)
	if len(r.screen.rows) > 0 && f.columns != r.screen.columns {
		r.Terminal.Write(r.screen.resized(columns))
	}
	if rows < len(r.screen.rows) { // the window became lower than what it shows: some of that has scrolled away
		r.Terminal.Write(r.screen.clear())
	}
	r.Terminal.Write(r.screen.draw(f, rows))
}

func (r *Reader) finish(e *Editor) {
	r.draw(e)
	columns, _ := r.Terminal.Size()
	r.Terminal.Write(r.screen.finish(e.layout(columns)))
}
