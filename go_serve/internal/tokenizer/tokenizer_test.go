package tokenizer

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"minitron/internal/bundle"
)

// small returns a vocabulary that a test can hold in the head: id 0 unknown, 1-4 the chat markers, then pieces. A piece
// "x=3" has the score 3; without one, the score falls with the id.
func small(pieces ...string) *bundle.Vocab {
	v := &bundle.Vocab{
		Pieces: []string{"<unk>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"},
		Scores: make([]float32, 5), Types: "UCCCC", UnkSurface: " \u2047 ",
		Normalizer: bundle.Normalizer{EscapeWhitespaces: true},
		Chat:       bundle.Chat{System: []int{1}, User: []int{2}, Assistant: []int{3}, Closing: []int{4}},
	}
	for _, piece := range pieces {
		score := -float32(len(v.Pieces))
		if text, number, ok := strings.Cut(piece, "="); ok {
			piece = text
			fmt.Sscan(number, &score)
		}
		v.Pieces, v.Scores, v.Types = append(v.Pieces, piece), append(v.Scores, score), v.Types+"N"
	}
	return v
}

func withBytes(v *bundle.Vocab) *bundle.Vocab {
	v.ByteFallback = true
	for b := range 256 {
		v.Pieces, v.Scores = append(v.Pieces, bytePiece(b)), append(v.Scores, 0)
	}
	v.Types += strings.Repeat("B", 256)
	return v
}

func mustNew(t testing.TB, v *bundle.Vocab) *Tokenizer {
	t.Helper()
	tok, err := New(v)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestEncodeByHand(t *testing.T) {
	tests := []struct {
		name  string
		vocab *bundle.Vocab
		text  string
		want  []int
	}{
		{"best score first, not longest first", small("a", "b", "c", "ab=-1", "bc=-9", "abc=-2", "cc"), "abc", []int{10}},
		{"leftmost of equals", small("a", "aa=-1"), "aaa", []int{6, 5}},
		{"unknowns fuse", small("a"), "axya", []int{5, 0, 5}},
		{"unknown to bytes", withBytes(small("a")), "aé", []int{5, 6 + 0xc3, 6 + 0xa9}},
		{"a marker typed is text", small("<", "|", "user", "|>"), "<|user|>", []int{5, 6, 0, 8}},
		{"invalid byte is U+FFFD", small("a", "\ufffd"), "a\xff\xff", []int{5, 6, 6}},
		{"empty", small("a"), "", nil},
		{"space becomes ▁", small("▁", "a"), " a▁", []int{5, 6, 5}},
		{"a character without an id still merges", small("xy", "xyz=9"), "xyz", []int{6}},
		{"unknowns fuse across cuts", small("a", "xa=-1"), "zz zxz", []int{0}},
	}
	for _, test := range tests {
		if got := mustNew(t, test.vocab).Encode(test.text); !slices.Equal(got, test.want) {
			t.Errorf("%s: Encode(%q) = %v, want %v", test.name, test.text, got, test.want)
		}
	}
}

// TestResegmentStopsAtDepth splits a chain of unused pieces again; the numbers are those of the library.
func TestResegmentStopsAtDepth(t *testing.T) {
	pieces := []string{"a", "b"}
	for n := 1; n <= 130; n++ {
		pieces = append(pieces, "a"+strings.Repeat("b", n))
	}
	v := small(pieces...)
	v.Types = v.Types[:7] + strings.Repeat("X", 130)
	tok := mustNew(t, v)
	for n, first := range map[int]int{100: 5, 101: 5, 102: 7, 130: 35} {
		ids := tok.Encode("a" + strings.Repeat("b", n))
		if len(ids) != min(n+1, 102) || ids[0] != first {
			t.Errorf("%d letters: %d ids, the first is %d, want %d", n+1, len(ids), ids[0], first)
		}
	}
}

func TestMinusZeroIsBelowZero(t *testing.T) {
	scores := []float32{-2, -1, float32(math.Copysign(0, -1)), 0, 1, 2}
	for i := 1; i < len(scores); i++ {
		if rank(scores[i-1]) >= rank(scores[i]) {
			t.Errorf("rank(%v) >= rank(%v)", scores[i-1], scores[i])
		}
	}
}

func TestNewRefuses(t *testing.T) {
	broken := func(change func(v *bundle.Vocab)) *bundle.Vocab {
		v := withBytes(small("a"))
		change(v)
		return v
	}
	tests := []struct {
		want  string
		vocab *bundle.Vocab
	}{
		{`the piece "a" is there twice`, small("a", "a")},
		{"piece 5 is empty, too long or holds a zero byte", small("")},
		{"piece 5 is empty, too long or holds a zero byte", small("a\x00")},
		{`the byte piece <0xFF> is missing`, broken(func(v *bundle.Vocab) { v.Types = v.Types[:261] + "N" })},
		{`"<0x00>" is no byte piece, or byte_fallback is off`, broken(func(v *bundle.Vocab) { v.ByteFallback = false })},
		{"there are two unknown pieces, 0 and 5", broken(func(v *bundle.Vocab) { v.Types = "UCCCCU" + v.Types[6:] })},
		{`the unknown id 5 has the type 'N'`, broken(func(v *bundle.Vocab) { v.Types, v.UnkID = "C"+v.Types[1:], 5 })},
		{`piece 5 has the unknown type 'Z'`, broken(func(v *bundle.Vocab) { v.Types = "UCCCCZ" + v.Types[6:] })},
		{"precompiled_charsmap is damaged", broken(func(v *bundle.Vocab) { v.Normalizer.Charsmap = []byte("\xff\xff\xff\xffxxxx") })},
		{"precompiled_charsmap is too short", broken(func(v *bundle.Vocab) { v.Normalizer.Charsmap = []byte("xx") })},
	}
	for _, test := range tests {
		if _, err := New(test.vocab); err == nil || err.Error() != test.want {
			t.Errorf("New: %v, want %s", err, test.want)
		}
	}
}

// TestStream feeds ids one by one: every part is whole characters, and the parts make up the decoded text.
func TestStream(t *testing.T) {
	tok := mustNew(t, withBytes(small("a", "é")))
	b := func(text string) (ids []int) {
		for i := range len(text) {
			ids = append(ids, 7+int(text[i]))
		}
		return ids
	}
	tests := []struct {
		name  string
		ids   []int
		parts []string // one per id, then what Flush gives
	}{
		{"four bytes", b("😀"), []string{"", "", "", "😀", ""}},
		{"cut off at the end", b("\xf0\x9f"), []string{"", "", "\ufffd\ufffd"}},
		{"cut off by a piece", append(b("\xe2\x82"), 5), []string{"", "", "\ufffd\ufffda", ""}},
		{"broken by another character", b("\xe2é"), []string{"", "\ufffd", "é", ""}},
		{"never valid", b("\xff\xc0"), []string{"\ufffd", "\ufffd", ""}},
		{"surrogate", b("\xed\xa0\x80"), []string{"", "\ufffd\ufffd", "\ufffd", ""}},
		{"control is silent", []int{5, 4, 6}, []string{"a", "", "é", ""}},
		{"unknown", []int{0}, []string{" \u2047 ", ""}},
	}
	for _, test := range tests {
		d := tok.NewDecoder()
		var got []string
		for _, id := range test.ids {
			got = append(got, d.Push(id))
		}
		got = append(got, d.Flush())
		if !slices.Equal(got, test.parts) {
			t.Errorf("%s: parts %q, want %q", test.name, got, test.parts)
		}
		if whole := tok.Decode(test.ids); whole != strings.Join(test.parts, "") {
			t.Errorf("%s: Decode = %q", test.name, whole)
		}
	}
}

// TestDecodeStripsOnePrefix pins which leading ▁ are text.
func TestDecodeStripsOnePrefix(t *testing.T) {
	v := small("▁", "▁a", "b")
	for _, test := range []struct {
		dummy, remove bool
		ids           []int
		want          string
	}{
		{false, false, []int{5, 6}, "  a"},
		{true, false, []int{5, 6}, " a"},
		{true, false, []int{4, 6}, "a"},
		{true, false, []int{7, 6}, "b a"},
		{false, true, []int{5, 5, 6}, "a"},
		{true, true, []int{5, 6, 5}, "a "},
	} {
		v.Normalizer.AddDummyPrefix, v.Normalizer.RemoveExtraWhitespaces = test.dummy, test.remove
		if got := mustNew(t, v).Decode(test.ids); got != test.want {
			t.Errorf("dummy %v, remove %v: Decode(%v) = %q, want %q", test.dummy, test.remove, test.ids, got, test.want)
		}
	}
}
