package repl

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"minitron/internal/term"
	"minitron/internal/width"
)

func TestWrap(t *testing.T) {
	tests := []struct {
		columns int
		text    string
		want    string
	}{
		{10, "one two three", "one two\nthree"},
		{10, "one two t\nhree", "one two t\nhree"},
		{9, "one  two  three", "one  two\nthree"},
		{10, "abcdefghi j", "abcdefghi\nj"},
		{10, "abcdefghijkl m", "abcdefghijkl m"}, // longer than a line: the terminal breaks it
		{10, "\n\n  in dented   ", "\n\n  in\ndented   "},
		{10, "日本語日本語日", "日本語日\n本語日"},
		{10, "aя日本 wordword", "aя日本\nwordword"},
		{10, "e\u0301e\u0301e\u0301e\u0301 e\u0301e\u0301e\u0301e\u0301 a", "e\u0301e\u0301e\u0301e\u0301 e\u0301e\u0301e\u0301e\u0301\na"},
		{10, "/help   this list and more\nx", "/help\nthis list\nand more\nx"},
		{20, "\tone two three\na\tone two three", "\tone two\nthree\na\tone two\nthree"}, // a tab goes to the next eighth column
		{3, "a b", "a\nb"},
		{3, "\u0301 👩", "\u0301\n👩"}, // a word of no width is a word
		{5, "abc👍🏽", "abc\n👍🏽"},      // what a terminal shows as one character stays whole
		{6, "ab👩‍👩‍👧 か\u3099か\u3099", "ab👩‍👩‍👧\nか\u3099か\u3099"},
		{6, "a❤️❤️❤️", "a❤️❤️\n❤️"},
		{6, "aaa🇷🇺🇷🇺", "aaa🇷🇺\n🇷🇺"},
		{5, "a\u1112\u1161\u11ab\u1112\u1161\u11ab", "a\u1112\u1161\u11ab\n\u1112\u1161\u11ab"},
		{1, "a b", "a\nb"},
		{0, "one two three", "one two three"},
	}
	for _, test := range tests {
		for _, piece := range []int{1, 2, 5, 100} { // runes come in pieces
			var out bytes.Buffer
			w := wrapper{out: &out}
			if test.columns > 0 {
				w.columns = func() int { return test.columns }
			}
			runes := []rune(test.text)
			for len(runes) > 0 {
				n := min(piece, len(runes))
				if _, err := w.Write([]byte(string(runes[:n]))); err != nil {
					t.Fatal(err)
				}
				runes = runes[n:]
			}
			if test.columns > 0 {
				w.flush()
			}
			if out.String() != test.want {
				t.Errorf("%q in %d columns, pieces of %d:\n got %q\nwant %q", test.text, test.columns, piece, out.String(), test.want)
			}
		}
	}
	// What is written is at most a word behind.
	var out bytes.Buffer
	w := wrapper{out: &out, columns: func() int { return 80 }}
	w.Write([]byte("one two thr"))
	if out.String() != "one two" {
		t.Errorf("%q", out.String())
	}
	w.Write([]byte(strings.Repeat("x", 400)))
	if out.Len() < 300 {
		t.Errorf("a word without end waits: %q", out.String())
	}
}

// FuzzWrap wraps any text in parts of any size: only spaces between words become newlines, lines fit unless one word does not,
// and how the text was cut makes no difference.
func FuzzWrap(f *testing.F) {
	for _, text := range []string{"one two  three\n four", "日本語 mixed 日本 words", "e\u0301e\u0301 \u200b\u0301 👩\u200d👩\u200d👧 x", "\ta\tb   ", "\n\n \n", strings.Repeat("x", 100) + " y"} {
		f.Add(text, uint8(10), uint8(3))
		f.Add(text, uint8(1), uint8(1))
	}
	f.Fuzz(func(t *testing.T, text string, columns, piece uint8) {
		text = term.Plain(strings.ToValidUTF8(text, "?"))
		wrap := func(size int) string {
			var out bytes.Buffer
			w := wrapper{out: &out, columns: func() int { return int(columns) }}
			for part := range slices.Chunk([]rune(text), size) {
				w.Write([]byte(string(part)))
			}
			w.flush()
			return out.String()
		}
		got := wrap(1 + int(piece))
		if whole := wrap(len(text) + 1); got != whole {
			t.Fatalf("%q in %d columns: %q in parts of %d, %q at once", text, columns, got, piece+1, whole)
		}
		isGap := func(c rune) bool { return c == ' ' || c == '\t' || c == '\n' }
		words := func(s string) string { return strings.Join(strings.FieldsFunc(s, isGap), "") }
		if words(got) != words(text) || strings.Count(got, "\n") < strings.Count(text, "\n") {
			t.Fatalf("%q in %d columns: %q has other words", text, columns, got)
		}
		for line := range strings.SplitSeq(got, "\n") {
			line = strings.TrimRight(line, " \t")
			words := strings.FieldsFunc(line, isGap)
			tooWide := func(text string) bool {
				at := 0
				for i, word := range strings.Split(text, "\t") {
					if i > 0 {
						at = at/8*8 + 8
					}
					at += width.Of([]rune(word))
				}
				return at >= int(columns)
			}
			if len(words) < 2 || slices.ContainsFunc(words, tooWide) || tooWide(line[:strings.Index(line, words[0])+len(words[0])]) {
				continue // the terminal breaks it
			}
			if tooWide(line) {
				t.Fatalf("%q in %d columns: the line %q", text, columns, line)
			}
		}
	})
}
