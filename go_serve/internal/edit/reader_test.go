package edit

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"minitron/internal/term"
)

// fake is a terminal without a system: what is typed comes in the pieces of typed.
type fake struct {
	typed  chan string
	events chan term.Event

	mu       sync.Mutex
	drawn    strings.Builder
	width    int
	suspends int
	writes   int
}

func newFake(typed ...string) *fake {
	f := &fake{typed: make(chan string, 100), events: make(chan term.Event), width: 40}
	for _, piece := range typed {
		f.typed <- piece
	}
	return f
}

func (f *fake) Read(p []byte) (int, error) {
	piece, ok := <-f.typed
	if !ok {
		return 0, io.EOF
	}
	return copy(p, piece), nil
}

func (f *fake) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.writes++
	return f.drawn.Write(p)
}

func (f *fake) text() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.drawn.String()
}

func (f *fake) Events() <-chan term.Event { return f.events }
func (f *fake) Suspend() bool             { f.suspends++; return f.suspends < 2 }

func (f *fake) Size() (columns, rows int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.width, 10
}

func TestReader(t *testing.T) {
	f := newFake("on", "e\r", "tw", "o\r", "\x1b", "[Dx\r", "a\x03b", "\x04\x15\x04")
	r := &Reader{Terminal: f, History: OpenHistory("")}
	for _, want := range []struct {
		text string
		err  error
	}{{"one", nil}, {"two", nil}, {"x", nil}, {"a", ErrInterrupted}, {"", io.EOF}} {
		text, err := r.Read("> ", "", true)
		if text != want.text || !errors.Is(err, want.err) {
			t.Errorf("%q, %v; want %q, %v", text, err, want.text, want.err)
		}
	}
	if got := strings.Join(r.History.Entries(), ","); got != "one,two,x" {
		t.Errorf("history %q", got)
	}
	close(f.typed)
	if _, err := r.Read("> ", "", true); !errors.Is(err, io.EOF) {
		t.Errorf("without a keyboard: %v", err)
	}
}

// TestUnmarkedPaste: a terminal that does not mark what is pasted sends nothing by it, however the bytes are cut.
func TestUnmarkedPaste(t *testing.T) {
	for _, test := range []struct {
		pieces []string
		want   string
	}{
		{[]string{"один\r\n\ttwo\rthree\n", "\r"}, "один\n\ttwo\nthree\n"},
		{[]string{"begin ", "one\rtwo", " end", "\r"}, "begin one\ntwo end"},
		{[]string{"\xd0", "\xbe\rдв\xd0", "\xb0\r"}, "о\nдва"},                     // cut inside of characters
		{[]string{"\x1b[200~a", "b\rc\rd", "\re\x1b[201~", "f\r"}, "ab\nc\nd\nef"}, // marked, and cut
		{[]string{"one\r"}, "one"},
		{[]string{"one\r\r"}, "one"},
		{[]string{"a\x01b\rtwo\r"}, "ba"}, // keys are typed
	} {
		r := &Reader{Terminal: newFake(test.pieces...)}
		if text, err := r.Read("> ", "", true); text != test.want || err != nil {
			t.Errorf("%q: %q, %v, want %q", test.pieces, text, err, test.want)
		}
	}
}

// TestPasteDuringAnAnswer is a message of its own too.
func TestPasteDuringAnAnswer(t *testing.T) {
	f := newFake("typed\r", "ne\xd0", "\xb6\rxt\r", "\x03")
	r, interrupted := &Reader{Terminal: f}, make(chan bool)
	stop := r.During(func() { interrupted <- true })
	<-interrupted
	stop()
	f.typed <- "a\r"
	f.typed <- "one\rtwo\r"
	stop = r.During(func() { interrupted <- true })
	f.typed <- "\x1b[200~b\r"
	f.typed <- "c\rd\r"
	f.typed <- "\x1b[201~"
	f.typed <- "\x1a"
	until(t, func() bool { return len(f.typed) == 0 })
	stop()
	f.typed <- "\r"
	for _, want := range []string{"a", "one\ntwo\nb\nc\nd\n"} {
		if text, err := r.Read("> ", "", true); text != want || err != nil {
			t.Errorf("%q, %v, want %q", text, err, want)
		}
	}
}

// FuzzPaste pastes any text in pieces of any size: it becomes the message, and nothing of it is sent or is a key.
func FuzzPaste(f *testing.F) {
	for _, text := range []string{"one\rtwo\r\nthree\n", "a\tb\x1b[A\x1b]0;x\a\x1b", "\xd0\xb6\xd0\r\xb6", "\x1b[201\r\x1b[200~", strings.Repeat("line\r", 200)} {
		f.Add([]byte(text), uint16(1))
		f.Add([]byte(text), uint16(4))
		f.Add([]byte(text), uint16(600))
	}
	f.Fuzz(func(t *testing.T, text []byte, size uint16) {
		text = bytes.ReplaceAll(text, []byte(ctrlC), nil) // ends a paste
		if len(text) > 5000 || bytes.Index(append(slices.Clone(text), pasteEnd...), []byte(pasteEnd)) != len(text) {
			return // it ends the paste by itself
		}
		terminal := newFake()
		terminal.typed = make(chan string, len(text)+20)
		for piece := range slices.Chunk([]byte(pasteBegin+string(text)+pasteEnd), 1+int(size)) {
			terminal.typed <- string(piece)
		}
		terminal.typed <- "\r"
		// everything has been typed already: on a busy machine, too, no wait may end before it was read
		r := &Reader{Terminal: terminal, after: func(wait time.Duration) <-chan time.Time { return time.After(20 * wait) }}
		got, err := r.Read("> ", "", true)
		if want := string(clean(valid(text))); got != want || err != nil {
			t.Fatalf("%q in pieces of %d: %q, %v, want %q", text, int(size)+1, got, err, want)
		}
	})
}

// TestLargePaste counts how often 300 KB in 74 parts of 4096 bytes are drawn.
func TestLargePaste(t *testing.T) {
	for _, marks := range [][2]string{{pasteBegin, pasteEnd}, {"", ""}} {
		f := newFake()
		f.typed = make(chan string, 400)
		text := strings.Repeat(strings.Repeat("x", 99)+"\r", 3000) + "end"
		for part := range slices.Chunk([]byte(marks[0]+text+marks[1]), 4096) {
			f.typed <- string(part)
		}
		go func() {
			until(t, func() bool { return strings.Contains(f.text(), "  end") })
			f.typed <- "\r"
		}()
		r := &Reader{Terminal: f}
		got, err := r.Read("> ", "", true)
		if err != nil || got != strings.ReplaceAll(text, "\r", "\n") {
			t.Errorf("%d bytes of %d, %v", len(got), len(text), err)
		}
		if f.writes > 30 {
			t.Errorf("drawn %d times", f.writes)
		}
	}
}

// TestAnswersAreNotRemembered asks a question.
func TestAnswersAreNotRemembered(t *testing.T) {
	r := &Reader{Terminal: newFake("y\r"), History: OpenHistory("")}
	if text, err := r.Read("? ", "", false); text != "y" || err != nil || len(r.History.Entries()) != 0 {
		t.Errorf("%q, %v, %q", text, err, r.History.Entries())
	}
}

func TestDraft(t *testing.T) {
	r := &Reader{Terminal: newFake("!\r")}
	if text, err := r.Read("> ", "hello", true); text != "hello!" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
}

// TestEvents: signals, a lone Escape, other sizes and Ctrl-Z while a message is written.
func TestEvents(t *testing.T) {
	f := newFake("\x12", "\x1b") // a search, and Escape alone ends it
	interrupts := make(chan os.Signal)
	r := &Reader{Terminal: f, History: OpenHistory(""), Interrupts: interrupts, Words: Words{"search", "not found"}}
	read := func() chan string {
		done := make(chan string)
		go func() {
			text, err := r.Read("> ", "", true)
			done <- text + " " + errorText(err)
		}()
		return done
	}
	done := read()
	until(t, func() bool { return strings.Contains(f.text(), "(search: )") && strings.HasSuffix(f.text(), "> ") })
	f.mu.Lock()
	f.width = 20
	f.mu.Unlock()
	f.events <- term.Resized
	f.events <- term.Resumed
	f.typed <- "ab\x1a"
	until(t, func() bool { return strings.HasSuffix(f.text(), "\r\n\x1b[J> ab") }) // drawn again below
	f.typed <- "\x15\x1a"                                                          // where Ctrl-Z cannot suspend it leaves
	if got := <-done; got != " EOF" {
		t.Errorf("ctrl-z: %q", got)
	}
	done = read()
	interrupts <- os.Interrupt
	if got := <-done; got != " interrupted" {
		t.Errorf("a signal: %q", got)
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func until(t *testing.T, true func() bool) {
	t.Helper()
	for range 300 {
		if true() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("it did not come")
}

// TestDuring types while something else goes on.
func TestDuring(t *testing.T) {
	f := newFake()
	interrupts, called := make(chan os.Signal), make(chan bool)
	r := &Reader{Terminal: f, Interrupts: interrupts}
	stop := r.During(func() { called <- true })
	f.typed <- "sent\rbegun\x03" // what was sent is taken back
	<-called
	f.typed <- "ne\xd0" // cut inside of a character
	f.typed <- "\xb6\x1a"
	f.typed <- "x\x03"
	<-called
	interrupts <- os.Interrupt
	<-called
	stop()
	f.typed <- "t\r"
	if text, err := r.Read("> ", "", true); text != "neжxt" || err != nil || f.suspends != 1 {
		t.Errorf("%q, %v, %d suspends", text, err, f.suspends)
	}
	stop = r.During(func() {})
	close(f.typed)
	stop()
	stop = r.During(func() {})
	stop()
	if _, err := r.Read("> ", "", true); !errors.Is(err, io.EOF) {
		t.Errorf("without a keyboard: %v", err)
	}
}
