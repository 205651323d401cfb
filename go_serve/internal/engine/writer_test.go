package engine

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// written runs texts through a writer, a byte per token, and returns the parts and whether a stop sequence ended it.
func written(t *testing.T, text string, stops []string) (parts []string, found bool) {
	w := newWriter(tiny(t), Request{Stops: stops}, func(p Part) error {
		parts = append(parts, p.Text)
		return nil
	})
	for _, id := range ids(text) {
		if found, _ = w.push(id, nil); found {
			return parts, true
		}
	}
	found, _ = w.finish()
	if said := strings.Join(parts, ""); said != w.said.String() {
		t.Errorf("%q was said, %q remembered", said, w.said.String())
	}
	return parts, found
}

// TestStops pins what comes out, and when: every element is a part as it is streamed.
func TestStops(t *testing.T) {
	tests := []struct {
		name  string
		text  string
		stops []string
		want  []string
		found bool
	}{
		{"none", "abc", nil, []string{"a", "b", "c"}, false},
		{"across tokens", "abXYZc", []string{"XYZ"}, []string{"a", "b"}, true},
		{"held back, then said", "aXYb", []string{"XYZ"}, []string{"a", "XYb"}, false},
		{"held back to the end", "aXY", []string{"XYZ"}, []string{"a", "XY"}, false},
		{"a part that begins again", "aababc", []string{"abc"}, []string{"a", "ab"}, true},
		{"at once", "abc", []string{"a"}, nil, true},
		{"the first to be complete", "abcd", []string{"bcd", "c"}, []string{"a", "b"}, true},
		{"the longest of those that end together", "abc", []string{"c", "bc"}, []string{"a"}, true},
		{"several", "one\n\ntwo###", []string{"###", "\n\n\n"}, []string{"o", "n", "e", "\n\nt", "w", "o"}, true},
		{"characters of several bytes", "да нет", []string{"нет"}, []string{"д", "а", " "}, true},
		{"the same first byte is no match", "дн", []string{"да"}, []string{"дн"}, false},
		{"emoji", "👍🏽!", []string{"🏽"}, []string{"👍"}, true},
		{"half a character at the end", "ab\xf0\x9f", []string{"\uFFFD"}, []string{"a", "b"}, true},
	}
	for _, test := range tests {
		parts, found := written(t, test.text, test.stops)
		if !slices.Equal(parts, test.want) || found != test.found {
			t.Errorf("%s: %q, %v, want %q, %v", test.name, parts, found, test.want, test.found)
		}
		for _, part := range parts {
			if !utf8.ValidString(part) {
				t.Errorf("%s: the part %q is cut within a character", test.name, part)
			}
		}
	}
}

// TestStopsDoNotDependOnTokens cuts a text in all ways into two texts at once and finds the same end.
func TestStopsDoNotDependOnTokens(t *testing.T) {
	const text, want = "xxabcabdyz", "xx"
	stops := []string{"abcabd", "bca", "abcabdy"}
	for at := range len(text) {
		w := newWriter(tiny(t), Request{Stops: stops}, nil)
		found, _ := w.grow(text[:at])
		if !found {
			found, _ = w.grow(text[at:])
		}
		if got := w.said.String(); got != want+"a" || !found {
			t.Errorf("cut at %d: %q, %v, want %q", at, got, found, want+"a")
		}
	}
}

func TestTokensComeWithTheirText(t *testing.T) {
	e := tiny(t)
	logits := make([]float32, e.Tokenizer.Size())
	for id := range logits {
		logits[id] = float32(id%7) / 2
	}
	var parts []Part
	w := newWriter(e, Request{Stops: []string{"XY"}, Logprobs: true, TopLogprobs: 3}, func(p Part) error {
		parts = append(parts, p)
		return nil
	})
	for _, id := range ids("дXaXY") {
		if found, _ := w.push(id, logits); found {
			break
		}
	}
	var bytes []byte
	var offsets []int
	for _, p := range parts {
		for _, token := range p.Tokens {
			bytes = append(bytes, token.Bytes...)
			offsets = append(offsets, token.Offset)
		}
		if len(p.Tokens) != len(p.Text) {
			t.Errorf("%q came with %d tokens", p.Text, len(p.Tokens))
		}
	}
	if string(bytes) != "дXa" || !slices.Equal(offsets, []int{0, 0, 1, 2}) {
		t.Errorf("tokens spell %q, at %v", bytes, offsets)
	}
	// Log-probabilities by the plainest sum.
	sum := 0.0
	for _, v := range logits {
		sum += math.Exp(float64(v))
	}
	first := parts[0].Tokens[0]
	if want := float64(logits[first.ID]) - math.Log(sum); math.Abs(first.Logprob-want) > 1e-12 {
		t.Errorf("logprob %v, want %v", first.Logprob, want)
	}
	var top []int
	for _, likely := range first.Top {
		top = append(top, likely.ID)
	}
	if !slices.Equal(top, []int{6, 13, 20}) { // the highest, of equals the lowest ids
		t.Errorf("the likeliest are %v", top)
	}
}

func TestControlPiecesHaveNoBytes(t *testing.T) {
	logits := make([]float32, tiny(t).Tokenizer.Size())
	logits[4] = 1
	token := tiny(t).Token(logits, 5, 1, false)
	if end := token.Top[0]; end.ID != 4 || end.Bytes != nil || end.Piece == "" {
		t.Errorf("%+v", end)
	}
	if string(token.Bytes) != "\x00" {
		t.Errorf("the first byte is %q", token.Bytes)
	}
}

func TestWriterStopsWhereNobodyListens(t *testing.T) {
	gone := errors.New("gone")
	w := newWriter(tiny(t), Request{}, func(Part) error { return gone })
	if _, err := w.push(ids("a")[0], nil); err != gone {
		t.Errorf("%v", err)
	}
}

// TestWriterGoesOn holds that what continues a text is decoded as its middle.
func TestWriterGoesOn(t *testing.T) {
	for _, e := range []*Engine{tiny(t), tokenizing(t, "chat"), tokenizing(t, "nmt_nfkc")} { // the last takes a first space for its own
		text := "the cat  sat on a mat, и кот тоже"
		all := e.Tokenizer.Encode(text)
		want := e.Tokenizer.Decode(all)
		for at := range all {
			var said strings.Builder
			w := newWriter(e, Request{Before: all[:at]}, func(p Part) error {
				said.WriteString(p.Text)
				return nil
			})
			for _, id := range all[at:] {
				w.push(id, nil)
			}
			w.finish()
			if !strings.HasSuffix(want, said.String()) || len(said.String()) < len(want)-len(e.Tokenizer.Decode(all[:at])) {
				t.Errorf("after %q comes %q", e.Tokenizer.Decode(all[:at]), said.String())
			}
		}
	}
}

// TestTheLikeliestThatAnAnswerMayHold are found behind any number of tokens that none may hold.
func TestTheLikeliestThatAnAnswerMayHold(t *testing.T) {
	e := tiny(t)
	logits := make([]float32, e.Tokenizer.Size())
	e.NeverSampled()
	e.never.ids = nil
	for id := range 60 { // every second of the 60 likeliest
		if logits[id] = float32(100 - id); id%2 == 0 {
			e.never.ids = append(e.never.ids, id)
		}
	}
	for possible, want := range map[bool][]int{true: {1, 3, 5, 7}, false: {0, 1, 2, 3}} {
		var got []int
		for _, likely := range e.Token(logits, 200, 4, possible).Top {
			got = append(got, likely.ID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("possible %v: %v, want %v", possible, got, want)
		}
	}
	for id := range 30 { // more than Token lists
		e.never.ids = append(e.never.ids, 2*id, 2*id+1)
	}
	if top := e.Token(logits, 200, 4, true).Top; len(top) != 4 || top[0].ID != 60 {
		t.Errorf("behind 60 others: %v", top)
	}
	if n := testing.AllocsPerRun(10, func() { e.NeverSampled() }); n > 0 {
		t.Errorf("%v allocations to know what is never sampled", n)
	}
}
