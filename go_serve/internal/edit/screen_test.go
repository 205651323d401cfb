package edit

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"minitron/internal/width"
)

// window is a terminal of its own: it knows what the editor sends and nothing of the editor. As many terminals do, it
// gives every code point its own width.
type window struct {
	columns, rows int
	cells         [][]string // [rows][columns]; "" is the second half of a wide character
	row, column   int
	full          bool // the last column was written: the next character wraps
	wraps         bool
	scrolled      int // rows that left at the top
}

func newWindow(columns, rows int) *window {
	w := &window{columns: columns, rows: rows, wraps: true}
	for range rows {
		w.cells = append(w.cells, w.blank())
	}
	return w
}

func (w *window) blank() []string { return strings.Split(strings.Repeat(" ", w.columns), "") }

func (w *window) newline() {
	if w.row++; w.row == w.rows {
		w.cells = append(w.cells[1:], w.blank())
		w.row--
		w.scrolled++
	}
}

func (w *window) put(char rune) {
	size := width.OfCluster([]rune{char})
	if size == 0 {
		return
	}
	if w.full && w.wraps {
		w.newline()
		w.column = 0
	}
	w.full = false
	if w.column+size > w.columns {
		w.column = w.columns - size
	}
	w.cells[w.row][w.column] = string(char)
	if size == 2 {
		w.cells[w.row][w.column+1] = ""
	}
	if w.column += size; w.column >= w.columns {
		w.column, w.full = w.columns-1, true
	}
}

// Write obeys; an escape sequence that it does not know fails the test by a panic.
func (w *window) Write(p []byte) (int, error) {
	text := string(p)
	for text != "" {
		char, size := utf8.DecodeRuneInString(text)
		switch {
		case char == '\r':
			w.column, w.full = 0, false
		case char == '\n':
			w.newline()
			w.full = false
		case char == '\x1b':
			end := 2 + strings.IndexFunc(text[2:], func(r rune) bool { return r >= 0x40 })
			w.obey(text[2:end], text[end])
			size = end + 1
		case char < ' ' || char == utf8.RuneError && size == 1:
			panic("a control character: " + strconv.Quote(text))
		default:
			w.put(char)
		}
		text = text[size:]
	}
	return len(p), nil
}

func (w *window) obey(parameters string, letter byte) {
	n, _ := strconv.Atoi(parameters)
	if letter != 'm' && letter != 'J' {
		w.full = false
	}
	switch string(letter) {
	case "A":
		w.row = max(0, w.row-n)
	case "B":
		w.row = min(w.rows-1, w.row+n)
	case "C":
		w.column = min(w.columns-1, w.column+n)
	case "G":
		w.column = min(w.columns, n) - 1
	case "H":
		w.row, w.column = 0, 0
	case "m":
	case "h", "l":
		w.wraps = letter == 'h'
		if parameters != "?7" {
			panic("mode " + parameters)
		}
	case "J":
		if n != 2 {
			w.cells[w.row] = append(w.cells[w.row][:w.column:w.column], w.blank()[w.column:]...)
		}
		for i := range w.cells {
			if i > w.row || n == 2 {
				w.cells[i] = w.blank()
			}
		}
	default:
		panic("sequence " + parameters + string(letter))
	}
}

// shows reports what is wrong with the window: it must show the rows of f that fit, from a row on, and the cursor.
func (w *window) shows(f frame, s *screen, first int) string {
	if w.row-first != f.row-s.top || w.column != f.column {
		return "the cursor is at " + strconv.Itoa(w.row-first) + "," + strconv.Itoa(w.column)
	}
	for i, row := range f.rows[s.top:min(s.top+w.rows, len(f.rows))] {
		column := 0
		pure := true
		for _, c := range row {
			// At the right edge it may be another part of a cluster that is there.
			char, _ := utf8.DecodeRuneInString(c.text)
			if there := w.cells[first+i][min(column, w.columns-1)]; width.OfCluster([]rune{char}) > 0 && (there == "" || !strings.Contains(c.text, there)) {
				return "row " + strconv.Itoa(i) + " is " + strings.Join(w.cells[first+i], "")
			}
			column += c.width
			pure = pure && c.agreed
		}
		if rest := strings.Join(w.cells[first+i][min(column, w.columns):], ""); pure && strings.TrimSpace(rest) != "" {
			return "row " + strconv.Itoa(i) + " ends with " + rest
		}
	}
	return ""
}

// session types keys into an editor on a window and checks the window after each.
func session(t *testing.T, keys []byte, columns, rows int) {
	t.Helper()
	w := newWindow(columns, rows)
	e := NewEditor("> ", []string{"one", "日本語 two\nlines", strings.Repeat("long ", 30)}, "")
	e.Words = Words{"search", "not found"}
	e.Complete = func(string) []string { return []string{"/one", "/two"} }
	s := &screen{colour: true}
	var p parser
	p.feed(keys)
	for {
		f := e.layout(columns)
		check(t, e, f)
		w.Write(s.draw(f, rows))
		first := w.row - (f.row - s.top)
		if wrong := w.shows(f, s, first); wrong != "" {
			t.Fatalf("%q at %d columns: %s, want\n%s", keys, columns, wrong, shown(e, columns))
		}
		key, ok := p.next(true)
		if !ok {
			break
		}
		if e.Handle(key) == ClearScreen {
			w.Write(s.clear())
		}
		if !utf8.ValidString(key.Text) {
			t.Fatalf("%q: the key %q", keys, key.Text)
		}
	}
	e.finish(Submit)
	w.Write(s.finish(e.layout(columns)))
	if w.column != 0 || strings.TrimSpace(strings.Join(w.cells[w.row], "")) != "" {
		t.Fatalf("%q: after the end the cursor is at %d,%d", keys, w.row, w.column)
	}
}

// check holds what is always true of an editor and its rows.
func check(t *testing.T, e *Editor, f frame) {
	t.Helper()
	if !utf8.ValidString(e.Text()) || e.at < 0 || e.at > len(e.text) || width.Settle(e.text, e.at) != e.at {
		t.Fatalf("text %q, cursor %d", e.Text(), e.at)
	}
	for _, row := range f.rows {
		if columnsOf(row) > f.columns {
			t.Fatalf("a row of %d in %d columns", columnsOf(row), f.columns)
		}
	}
	if f.row < 0 || f.row >= len(f.rows) || f.column < 0 || f.column >= f.columns {
		t.Fatalf("the cursor is at %d,%d of %d rows", f.row, f.column, len(f.rows))
	}
}

func TestSessions(t *testing.T) {
	long := strings.Repeat("hello world ", 20)
	for _, keys := range []string{
		"hello" + left + left + "x" + enter,
		long + homeKey + "x" + end + backspace + ctrlU + "y",
		long + strings.Repeat(altB, 30) + ctrlK,
		strings.Repeat("日本👩‍👩‍👧🇷🇺e\u0301❤️ ", 12) + strings.Repeat(left, 20) + "x" + ctrlL + ctrlA,
		pasteBegin + strings.Repeat("line\n", 40) + pasteEnd + strings.Repeat(up, 35) + "x" + strings.Repeat(down, 35),
		up + up + up + down + down + ctrlR + "lo" + ctrlR + ctrlG,
		"/" + tab + "o" + tab + ctrlC,
		strings.Repeat("x", 38) + left + right + "y" + left + left + altEnter + backspace,
		strings.Repeat("x", 38) + altEnter + up + end + "y",
		strings.Repeat("x", 38) + "\u200b\u0301" + left + left,
	} {
		for _, columns := range []int{80, 40, 7, 4} {
			session(t, []byte(keys), columns, 10)
			session(t, []byte(keys), columns, 1)
		}
	}
}

// TestResized makes the window narrower and wider, with a terminal that breaks its rows anew.
func TestResized(t *testing.T) {
	e := NewEditor("> ", nil, strings.Repeat("0123456789", 10))
	press(e, altB+strings.Repeat(right, 85))
	s := &screen{}
	w := newWindow(80, 20)
	w.Write([]byte("before\r\n"))
	w.Write(s.draw(e.layout(80), 20)) // rows of 80 and 22
	narrow := newWindow(40, 20)
	narrow.Write([]byte("before\r\n" + strings.Join(w.cells[1][:40], "") + "\r\n" + strings.Join(w.cells[1][40:], "") + "\r\n" + strings.Join(w.cells[2][:40], "")))
	narrow.row, narrow.column, narrow.full = 3, w.column, false // 85 + 2 is column 7 of the second row
	narrow.Write(s.resized(40))
	narrow.Write(s.draw(e.layout(40), 20))
	if wrong := narrow.shows(e.layout(40), s, 1); wrong != "" || !strings.HasPrefix(strings.Join(narrow.cells[0], ""), "before") {
		t.Errorf("narrower: %s", wrong)
	}
}

func TestFinishShowsAllOfALongMessage(t *testing.T) {
	e := NewEditor("> ", nil, strings.Repeat("line\n", 50)+"end")
	s := &screen{}
	w := newWindow(40, 10)
	w.Write(s.draw(e.layout(40), 10))
	if w.scrolled != 0 {
		t.Errorf("%d rows scrolled while typing", w.scrolled)
	}
	e.finish(Submit)
	w.Write(s.finish(e.layout(40)))
	if w.scrolled != 51+1-10 || !strings.HasPrefix(strings.Join(w.cells[8], ""), "  end") {
		t.Errorf("%d rows scrolled, then %q", w.scrolled, w.cells)
	}
}

func FuzzEditor(f *testing.F) {
	f.Add([]byte("hello\x1b[D\x7f\x1b[200~a\r\nb\x1b[201~\x12o\x12\r"), uint8(40))
	f.Add([]byte("👩‍👩‍👧🇷🇺e\u0301\x1b[A\x14\x17\x19"), uint8(7))
	f.Add([]byte("\xff\x1b[1;5C\x1bOA\x1b\x1b[200~\x03"), uint8(0))
	f.Fuzz(func(t *testing.T, keys []byte, columns uint8) {
		if len(keys) < 1000 { // the window is checked after every key
			session(t, keys, max(minColumns, int(columns)), 1+len(keys)%7)
		}
	})
}

// FuzzParser holds that keys do not depend on how the bytes were cut, but that a run of characters may come in parts.
func FuzzParser(f *testing.F) {
	f.Add([]byte("a\x1b[200~b\r\n\x1b[201~\xd0\xb6\x1b[1;5D\x1b\x1b[A"), uint8(3))
	f.Fuzz(func(t *testing.T, b []byte, size uint8) {
		typed := func(step int) (keys []Key) {
			var p parser
			for rest := b; ; {
				n := min(step, len(rest))
				p.feed(rest[:n])
				rest = rest[n:]
				for {
					key, ok := p.next(len(rest) == 0)
					if !ok {
						break
					}
					if last := len(keys) - 1; last >= 0 && keys[last].Code == key.Code && (key.Code == Text || key.Code == Paste) {
						keys[last].Text += key.Text
					} else if key != (Key{}) { // that the begin of something meant nothing says nothing
						keys = append(keys, key)
					}
				}
				if len(rest) == 0 {
					return keys
				}
			}
		}
		if whole, cut := typed(len(b)+1), typed(int(size)+1); !slices.Equal(whole, cut) {
			t.Errorf("%q: %v at once, %v in pieces of %d", b, whole, cut, int(size)+1)
		}
	})
}

// BenchmarkLongMessage is a key typed into a message of 10,000 characters.
func BenchmarkLongMessage(b *testing.B) {
	e := NewEditor("> ", nil, strings.Repeat("жук 日👍🏽e\u0301 ", 1000))
	s := &screen{}
	for b.Loop() {
		e.Handle(Key{Text, "x"})
		e.Handle(Key{Code: Backspace})
		s.draw(e.layout(80), 24)
	}
}
