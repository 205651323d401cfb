package edit

import (
	"strings"
	"testing"
	"time"
)

// press sends bytes as a terminal does and returns the last action.
func press(e *Editor, keys string) (action Action) {
	var p parser
	p.feed([]byte(keys))
	for {
		key, ok := p.next(true)
		if !ok {
			return action
		}
		action = e.Handle(key)
	}
}

// shown is what a window of so many columns shows, a row per line, with | where the cursor is.
func shown(e *Editor, columns int) string {
	var rows []string
	f := e.layout(columns)
	for i, row := range f.rows {
		var text strings.Builder
		at := 0
		for _, c := range row {
			if i == f.row && at == f.column && c.width > 0 {
				text.WriteByte('|')
			}
			text.WriteString(c.text)
			at += c.width
		}
		if i == f.row && at <= f.column {
			text.WriteByte('|')
		}
		rows = append(rows, text.String())
	}
	return strings.Join(rows, "\n")
}

// Keys, as terminals send them.
const (
	ctrlA, ctrlB, ctrlD, ctrlE, ctrlF, ctrlG        = "\x01", "\x02", "\x04", "\x05", "\x06", "\x07"
	ctrlK, ctrlL, ctrlN, ctrlP, ctrlR, ctrlS, ctrlT = "\x0b", "\x0c", "\x0e", "\x10", "\x12", "\x13", "\x14"
	ctrlU, ctrlW, ctrlY                             = "\x15", "\x17", "\x19"
	up, down, right, left                           = "\x1b[A", "\x1b[B", "\x1b[C", "\x1b[D"
	homeKey, end, del, backspace                    = "\x1b[H", "\x1b[F", "\x1b[3~", "\x7f"
	altB, altF, altD, altBackspace, altEnter        = "\x1bb", "\x1bf", "\x1bd", "\x1b\x7f", "\x1b\r"
	enter, tab, esc                                 = "\r", "\t", "\x1b"
)

func TestEditing(t *testing.T) {
	family, flag, heart := "👩‍👩‍👧", "🇷🇺", "❤️"
	tests := []struct{ name, keys, want string }{
		{"nothing", "", "> |"},
		{"typing", "hello", "> hello|"},
		{"left, insert", "helo" + left + "l", "> hell|o"},
		{"ctrl-b, ctrl-f", "ab" + ctrlB + ctrlB + ctrlB + "x" + ctrlF + "y", "> xay|b"},
		{"home, end", "bc" + homeKey + "a" + end + "d", "> abcd|"},
		{"ctrl-a, ctrl-e", "bc" + ctrlA + "a" + ctrlE + "d", "> abcd|"},
		{"other homes and ends", "bc\x1b[1~a\x1b[4~d\x1bOHx\x1bOFy", "> xabcdy|"},
		{"backspace, delete", "abcd" + backspace + left + left + del, "> a|c"},
		{"at the edges", backspace + del + left + right + ctrlT + ctrlY + altB + altF + ctrlK + ctrlU + ctrlW + up + down, "> |"},
		{"ctrl-d deletes", "ab" + ctrlA + ctrlD, "> |b"},
		{"ctrl-k", "hello world" + altB + ctrlK, "> hello |"},
		{"ctrl-u", "hello world" + altB + ctrlU, "> |world"},
		{"ctrl-w goes to the space", "a b-c.d" + ctrlW, "> a |"},
		{"alt-backspace goes to the word", "a b-c.d" + altBackspace, "> a b-c.|"},
		{"alt-d", "один два" + ctrlA + altD, "> | два"},
		{"alt-b, alt-f", "один два" + altB + "x" + ctrlA + altF + "y", "> одинy| xдва"},
		{"ctrl and alt with arrows", "a b c\x1b[1;5D\x1b[1;3Dx\x1b[1;5C", "> a xb| c"},
		{"ctrl-y", "one two" + ctrlW + ctrlA + ctrlY + " ", "> two |one "},
		{"kills in a row add up", "one two three" + ctrlW + ctrlW + ctrlK + "x" + ctrlY, "> one xtwo three|"},
		{"another key between kills", "one two" + ctrlW + left + ctrlW + ctrlY, "> one|" + " "},
		{"ctrl-t", "abc" + ctrlT, "> acb|"},
		{"ctrl-t inside", "abc" + left + left + ctrlT, "> ba|c"},
		{"a combining mark is a part", "e\u0301x" + left + left, "> |e\u0301x"},
		{"and goes with its letter", "ae\u0301" + backspace, "> a|"},
		{"a family", "a" + family + "b" + left + left + "x", "> ax|" + family + "b"},
		{"goes at once", family + backspace, "> |"},
		{"two flags", flag + flag + backspace + left + "x", "> x|" + flag},
		{"a heart", heart + backspace, "> |"},
		{"a skin tone", "👍🏽" + backspace, "> |"},
		{"a letter before a mark", "\u0301" + ctrlA + "e", "> e\u0301|"},
		{"hangul", "각" + "\u1100\u1161\u11a8" + backspace + backspace, "> |"},
		{"swap of wide ones", "日" + family + ctrlT, "> " + family + "日|"},
		{"invalid bytes", "a\xff\xd0", "> a\ufffd\ufffd|"},
		{"control characters", "a\x00\x1c\u009b\u202e\u2066b", "> ab|"},
		{"unknown keys", "a\x1b[5~\x1b[99;99q\x1bOZ\x1b[[Ab", "> ab|"},
		{"alt with a letter", "a\x1bя\x1bqb", "> aяb|"},
		{"a paste", "a" + pasteBegin + "one\rtwo\r\nthree\tx" + pasteEnd + "b", "> aone\n  two\n  three    xb|"},
		{"a paste that never ends", pasteBegin + "one\r", "> one\n  |"},
		{"alt-enter", "a" + altEnter + "b", "> a\n  b|"},
		{"shift-enter", "a\x1b[13;2ub\x1b[27;2;13~c", "> a\n  b\n  c|"},
		{"up and down in lines", "abc" + altEnter + "d" + altEnter + "efg" + up + up + "x", "> ax|bc\n  d\n  efg"},
		{"down again", "abc" + altEnter + "d" + up + end + down + "x", "> abc\n  dx|"},
		{"home in a line", "abc" + altEnter + "def" + homeKey + "x" + ctrlK, "> abc\n  x|"},
		{"ctrl-k takes the newline", "a" + altEnter + "b" + up + end + ctrlK, "> a|b"},
		{"ctrl-u takes the newline", "a" + altEnter + "b" + homeKey + ctrlU, "> a|b"},
		{"escape twice", "a" + esc + esc + "[D" + "b", "> b|a"},
	}
	for _, test := range tests {
		e := NewEditor("> ", nil, "")
		press(e, test.keys)
		if got := shown(e, 40); got != test.want {
			t.Errorf("%s:\n got %q\nwant %q", test.name, got, test.want)
		}
	}
}

// TestReports: what a terminal says of itself is not typed, however it is cut; without an end it swallows nothing for long.
func TestReports(t *testing.T) {
	for _, report := range []string{
		"\x1b]11;rgb:1e1e/1e1e/1e1e\x1b\\", "\x1b]11;rgb:1e1e/1e1e/1e1e\a", "\x1b]0;привет\a", "\x1bP1$r0m\x1b\\", "\x1b_Gi=1;OK\x1b\\",
		"\x1b^x\x1b\\", "\x1bXx\x1b\\", "\x1b[?62;4c", "\x1b[12;40R", "\x1b[?1;2$y",
	} {
		for cut := range len(report) {
			e := NewEditor("> ", nil, "")
			var p parser
			for _, piece := range []string{"a" + report[:cut], report[cut:] + "b"} {
				p.feed([]byte(piece))
				for key, ok := p.next(false); ok; key, ok = p.next(false) {
					e.Handle(key)
				}
			}
			if e.Text() != "ab" || p.wait() != 0 {
				t.Errorf("%q cut at %d: %q, %q left", report, cut, e.Text(), p.bytes)
			}
		}
	}
	for keys, want := range map[string]string{"\x1b]11;rgb" + left: "", "\x1b]11;r\x01": "", "\x1b]": "", "\x1bP": "", "\x1b]x": "", "\x1b_G\x1b": ""} {
		e := NewEditor("> ", nil, "")
		press(e, keys)
		press(e, "b")
		if e.Text() != want+"b" {
			t.Errorf("%q: %q", keys, e.Text())
		}
	}
	for begin, wait := range map[string]time.Duration{"\x1b": escapeWait, "\x1b]": escapeWait, "\x1b]1": reportWait, "\x1b[": escapeWait, "": 0} {
		p := parser{bytes: []byte(begin)}
		if got := p.wait(); got != wait {
			t.Errorf("%q waits %v, want %v", begin, got, wait)
		}
	}
}

func TestActions(t *testing.T) {
	tests := []struct {
		keys string
		want Action
		text string
	}{
		{"hi" + enter, Submit, "hi"},
		{"hi\n", Submit, "hi"},
		{"hi" + left + enter, Submit, "hi"},
		{ctrlD, Leave, ""},
		{"a" + ctrlD, None, "a"},
		{"a" + ctrlC, Interrupted, "a"},
		{ctrlZ, Stop, ""},
		{ctrlL, ClearScreen, ""},
		{`"""a` + enter, None, "\"\"\"a\n"},
		{`"""a` + enter + `b"""` + enter, Submit, "\"\"\"a\nb\"\"\""},
		{pasteBegin + "a\x03", Interrupted, "a"}, // a paste whose end was lost
	}
	for _, test := range tests {
		e := NewEditor("> ", nil, "")
		e.Goes = func(text string) bool { return strings.HasPrefix(text, `"""`) && !strings.HasSuffix(text, `b"""`) }
		if got := press(e, test.keys); got != test.want || e.Text() != test.text {
			t.Errorf("%q: action %d, text %q; want %d, %q", test.keys, got, e.Text(), test.want, test.text)
		}
	}
}

// TestWrapping shows texts that are longer than the window.
func TestWrapping(t *testing.T) {
	tests := []struct{ text, keys, want string }{
		{"abcdef", "", "> abcdef\n|"}, // a full row: the cursor stands in the next one
		{"abcdef", left, "> abcde|f\n"},
		{"abcdefg", left, "> abcdef\n|g"},
		{"abcdefg", left + left, "> abcde|f\ng"},
		{"abcde日", "", "> abcde\n日|"}, // two columns do not fit into one
		{"abcde日", left, "> abcde\n|日"},
		{"abcd日", "", "> abcd日\n|"},
		{"abcdef\ng", up + end, "> abcdef\n|\n  g"},
		{"e\u0301e\u0301e\u0301e\u0301e\u0301e\u0301", left, "> e\u0301e\u0301e\u0301e\u0301e\u0301|e\u0301\n"},
		{"👩‍👩‍👧👩‍👩‍👧👩‍👩‍👧x", left, "> 👩‍👩‍👧👩‍👩‍👧👩‍👩‍👧\n|x"},
	}
	for _, test := range tests {
		e := NewEditor("> ", nil, test.text)
		press(e, test.keys)
		if got := shown(e, 8); got != test.want {
			t.Errorf("%q:\n got %q\nwant %q", test.text, got, test.want)
		}
	}
}

func TestHistoryKeys(t *testing.T) {
	history := []string{"one", "two\nlines", "three"}
	tests := []struct{ name, keys, want string }{
		{"up", up, "> three|"},
		{"up through lines", up + up + up + up, "> one|"},
		{"up does not leave", strings.Repeat(up, 9), "> one|"},
		{"down comes back", "draft" + up + ctrlP + ctrlN + down, "> draft|"},
		{"down does not leave", "draft" + down, "> draft|"},
		{"changes are kept", up + "x" + up + down, "> threex|"},
		{"search", ctrlR + "o", "(search: o) tw|o\n  lines"},
		{"search again", ctrlR + "o" + ctrlR, "(search: o) |one"},
		{"and the other way", ctrlR + "o" + ctrlR + ctrlS, "(search: o) tw|o\n  lines"},
		{"search finds nothing", ctrlR + "oq", "(not found: oq) |"},
		{"backspace in a search", ctrlR + "onq" + backspace, "(search: on) |one"},
		{"search taken", ctrlR + "on" + right + "x", "> ox|ne"},
		{"search left", "draft" + ctrlR + "ne" + ctrlG, "> draft|"},
		{"search left by ctrl-c", "draft" + ctrlR + "ne" + ctrlC, "> draft|"},
		{"search ended by escape", ctrlR + "on" + esc, "> |one"},
		{"draft after a search", "draft" + ctrlR + "th" + esc + down, "> draft|"},
	}
	for _, test := range tests {
		e := NewEditor("> ", history, "")
		e.Words = Words{"search", "not found"}
		press(e, test.keys)
		if got := shown(e, 40); got != test.want {
			t.Errorf("%s:\n got %q\nwant %q", test.name, got, test.want)
		}
	}
	e := NewEditor("> ", history, "")
	if action := press(e, ctrlR+"wo"+enter); action != Submit || e.Text() != "two\nlines" {
		t.Errorf("enter in a search: %d, %q", action, e.Text())
	}
	if history[0] != "one" || history[2] != "three" {
		t.Error("the history was changed")
	}
}

func TestCompletion(t *testing.T) {
	tests := []struct{ keys, want string }{
		{"/re" + tab, "> /re|\n/regen  /reset"},
		{"/re" + tab + "s", "> /res|"},
		{"/reg" + tab, "> /regen|"},
		{"/s" + tab, "> /set|"},
		{"/set to" + tab, "> /set top-|"},
		{"/set to" + tab + tab, "> /set top-|\ntop-k  top-p"},
		{"hello" + tab, "> hello|"},
		{"/reg" + left + tab, "> /re|g"},
	}
	words := []string{"/regen", "/reset", "/set", "/set2", "/set top-k", "/set top-p"}
	for _, test := range tests {
		e := NewEditor("> ", nil, "")
		e.Complete = func(text string) (all []string) {
			for _, word := range words {
				if strings.HasPrefix(word, text) && strings.Contains(word, " ") == strings.Contains(text, " ") {
					all = append(all, word)
				}
			}
			return all
		}
		press(e, test.keys)
		if got := shown(e, 40); got != test.want {
			t.Errorf("%q:\n got %q\nwant %q", test.keys, got, test.want)
		}
	}
}
