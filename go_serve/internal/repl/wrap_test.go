package repl

import (
	"bytes"
	"strings"
	"testing"
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
		{3, "a b", "a\nb"},
		{1, "a b", "a b"},
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
