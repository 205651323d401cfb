package tokenizer

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"minitron/internal/bundle"
	"minitron/internal/pretoken"
)

// byteVocab has an end marker and a marker of the roles, 0 and 1, then the bytes, then what these pairs make, such as "a b".
func byteVocab(splitting string, merges ...string) *bundle.Vocab {
	v := &bundle.Vocab{
		Pieces:    []string{"<|im_end|>", "<|im_start|>"},
		Types:     "CC",
		Chat:      bundle.Chat{System: []int{1, 2}, User: []int{1, 3}, Assistant: []int{1, 4}, Closing: []int{0, 5}},
		ByteLevel: &bundle.ByteLevel{Splitting: splitting},
	}
	spelt := map[byte]string{}
	for char, b := range byteCharacters() {
		spelt[b] = string(char)
	}
	for b := range 256 {
		v.Pieces = append(v.Pieces, spelt[byte(b)])
	}
	for _, merge := range merges {
		left, right, _ := strings.Cut(merge, " ")
		made := slices.Index(v.Pieces, left+right)
		if made < 0 {
			made = len(v.Pieces)
			v.Pieces = append(v.Pieces, left+right)
		}
		v.ByteLevel.Merges = append(v.ByteLevel.Merges, slices.Index(v.Pieces, left), slices.Index(v.Pieces, right), made)
	}
	v.Types += strings.Repeat("N", len(v.Pieces)-2)
	return v
}

// spellings of ids, with | between.
func spelling(t *Tokenizer, ids []int) string {
	var all []string
	for _, id := range ids {
		all = append(all, t.Piece(id))
	}
	return strings.Join(all, "|")
}

func TestByteLevelByHand(t *testing.T) {
	withUser := byteVocab("gpt-2", "a b", "Ġ a")
	withUser.Pieces, withUser.Types = append(withUser.Pieces, "b x", "b"), withUser.Types+"DC"
	whole := byteVocab("llama-bpe", "a b", "b c", "a bc")
	whole.Pieces, whole.Types = append(whole.Pieces, "zz", "yy"), whole.Types+"NC"
	whole.ByteLevel.IgnoreMerges = true
	composed := byteVocab("qwen2", "Ã ©")
	composed.ByteLevel.NFC = true
	tests := []struct {
		name       string
		vocab      *bundle.Vocab
		text, want string
	}{
		{"the first merge of the list first", byteVocab("gpt-2", "b c", "a b", "ab c"), "abc", "a|bc"},
		{"the leftmost of equals", byteVocab("gpt-2", "a a"), "aaa", "aa|a"},
		{"two ways to one piece", byteVocab("gpt-2", "a b", "b c", "ab c", "a bc"), "abc", "abc"},
		{"no merge across parts", byteVocab("gpt-2", "a Ġ", "Ġ b"), "a b", "a|▁b"},
		{"a marker typed is text", byteVocab("gpt-2", "< |"), "<|im_end|>", "<||i|m|_|e|n|d|||>"},
		{"bytes of a character", byteVocab("gpt-2"), "é", "<0xC3>|<0xA9>"},
		{"what is no character is one U+FFFD", byteVocab("gpt-2", "ï ¿", "ï¿ ½"), "\xe2\x96a\xff\xed\xa0", "\ufffd|a|\ufffd|\ufffd|\ufffd"},
		{"a user's piece before all else", withUser, "ab xab", "a|b▁x|ab"},
		{"a part that is a piece", whole, "zz\nabc", "zz|\n|abc"},
		{"no special piece is taken whole", whole, "yy", "y|y"},
		{"NFC first", composed, "e\u0301", "é"},
		{"empty", composed, "", ""},
	}
	for _, test := range tests {
		tok := mustNew(t, test.vocab)
		for range 2 { // the second time from the cache
			if got := spelling(tok, tok.Encode(test.text)); got != test.want {
				t.Errorf("%s: %q is %q, want %q", test.name, test.text, got, test.want)
			}
		}
	}
}

func TestByteLevelStream(t *testing.T) {
	tok := mustNew(t, byteVocab("gpt-2", "Ã ©", "a b"))
	b := func(text string) (ids []int) {
		for i := range len(text) {
			ids = append(ids, 2+int(text[i]))
		}
		return ids
	}
	tests := []struct {
		name  string
		ids   []int
		parts []string // one per id, then what Flush gives
	}{
		{"four bytes", b("😀"), []string{"", "", "", "😀", ""}},
		{"a marker in the middle", append(b("\xc3"), 0, 2+0xa9), []string{"", "", "é", ""}},
		{"cut off at the end", b("\xf0\x9f"), []string{"", "", "\ufffd"}},
		{"cut off by a piece", append(b("\xe2\x82"), 259), []string{"", "", "\ufffdab", ""}},
		{"never valid", b("\xff\xc0"), []string{"\ufffd", "\ufffd", ""}},
		{"surrogate", b("\xed\xa0\x80"), []string{"", "\ufffd\ufffd", "\ufffd", ""}},
	}
	for _, test := range tests {
		d := tok.NewDecoder()
		var got []string
		for _, id := range test.ids {
			got = append(got, d.Push(id))
		}
		if got = append(got, d.Flush()); !slices.Equal(got, test.parts) {
			t.Errorf("%s: parts %q, want %q", test.name, got, test.parts)
		}
	}
}

func TestByteLevelRefuses(t *testing.T) {
	broken := func(change func(v *bundle.Vocab)) *bundle.Vocab {
		v := byteVocab("gpt-2", "a b")
		change(v)
		return v
	}
	tests := []struct {
		want  string
		vocab *bundle.Vocab
	}{
		{`the program does not know the splitting "gpt-9"`, byteVocab("gpt-9")},
		{"the byte 61 has no piece", broken(func(v *bundle.Vocab) { v.Pieces[2+'a'] = "ĠĠ" })},
		{`the piece "ab" is there twice`, broken(func(v *bundle.Vocab) { v.Pieces, v.Types = append(v.Pieces, "ab"), v.Types+"N" })},
		{`the piece "<i>" is there twice`, broken(func(v *bundle.Vocab) { v.Pieces, v.Types = append(v.Pieces, "<i>", "<i>"), v.Types+"DD" })},
		{"piece 258 is empty or too long", broken(func(v *bundle.Vocab) { v.Pieces[258] = "" })},
		{"piece 258 is not written in the characters for bytes", broken(func(v *bundle.Vocab) { v.Pieces[258] = "a b" })},
		{"piece 258 has the unknown type 'B'", broken(func(v *bundle.Vocab) { v.Types = v.Types[:258] + "B" })},
		{"the list of merges is cut off", broken(func(v *bundle.Vocab) { v.ByteLevel.Merges = v.ByteLevel.Merges[:2] })},
		{"a merge has the id 300, which is no piece of text", broken(func(v *bundle.Vocab) { v.ByteLevel.Merges[1] = 300 })},
		{"a merge has the id -1, which is no piece of text", broken(func(v *bundle.Vocab) { v.ByteLevel.Merges[1] = -1 })},
		{"a merge has the id 1, which is no piece of text", broken(func(v *bundle.Vocab) { v.ByteLevel.Merges[1] = 1 })},
		{`the merge of "a" and "a" makes "ab"`, broken(func(v *bundle.Vocab) { v.ByteLevel.Merges[1] = 2 + 'a' })},
		{`the merge of "a" and "b" is there twice`, broken(func(v *bundle.Vocab) { v.ByteLevel.Merges = slices.Repeat(v.ByteLevel.Merges, 2) })},
	}
	for _, test := range tests {
		if _, err := New(test.vocab); err == nil || err.Error() != test.want {
			t.Errorf("New: %v, want %s", err, test.want)
		}
	}
}

// TestLongWordsAreNotQuadratic encodes a megabyte without a place to cut; quadratic code would take hours.
func TestLongWordsAreNotQuadratic(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a minute under the race detector, on one goroutine")
	}
	merges := []string{"a b", "b a", "ab ab", "Ġ Ġ", "ĠĠ ĠĠ", "Ð ¾", "Ð¾ Ð¾"}
	for piece := "a"; len(piece) < 64; piece += piece {
		merges = append(merges, piece+" "+piece)
	}
	for name := range pretoken.Splittings {
		v := byteVocab(name, merges...)
		v.ByteLevel.NFC = true
		tok := mustNew(t, v)
		texts := pathological(1 << 20)
		texts["marks"] = "a" + strings.Repeat("\u0301\u0323", 1<<18)
		for what, text := range texts {
			began := time.Now()
			ids := tok.Encode(text)
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("%s, %s: took %v", name, what, took)
			}
			if what == "one letter" && len(ids) != 1<<14 {
				t.Errorf("%s: %d ids, want %d", name, len(ids), 1<<14)
			}
		}
	}
}

// slowBytes says in few lines what encoding does: no queue, no cache. It looks at all pairs for every merge.
func slowBytes(t *Tokenizer, text string) (ids []int) {
	b := t.byteLevel
	text = characters(text)
	for text != "" {
		at := 0
		for ; at < len(text); at++ {
			if _, n := symbolAt(t, text[at:]); n > 0 {
				break
			}
		}
		stretch := text[:at]
		if b.nfc {
			stretch = pretoken.NFC(stretch)
		}
		for stretch != "" {
			n := b.next(stretch)
			ids = append(ids, slowPart(b, stretch[:n])...)
			stretch = stretch[n:]
		}
		text = text[at:]
		if id, n := symbolAt(t, text); n > 0 {
			ids, text = append(ids, id), text[n:]
		}
	}
	return ids
}

// symbolAt returns the longest of the user's pieces that text begins with.
func symbolAt(t *Tokenizer, text string) (id, size int) {
	for i, piece := range t.vocab.Pieces {
		if t.vocab.Types[i] == userDefined && len(piece) > size && strings.HasPrefix(text, piece) {
			id, size = i, len(piece)
		}
	}
	return id, size
}

func slowPart(b *byteLevel, part string) (ids []int) {
	if id, ok := b.whole[part]; ok {
		return []int{int(id)}
	}
	for _, c := range []byte(part) {
		ids = append(ids, int(b.bytes[c]))
	}
	for {
		best, first := -1, merged{place: 1 << 30}
		for i := 1; i < len(ids); i++ {
			if m, ok := b.merges[[2]int32{int32(ids[i-1]), int32(ids[i])}]; ok && m.place < first.place {
				best, first = i, m
			}
		}
		if best < 0 {
			return ids
		}
		ids[best-1] = int(first.id)
		ids = slices.Delete(ids, best, best+1)
	}
}

// FuzzByteLevel gives any vocab.json and any text: what is taken encodes as the slow way does, without a panic, and gives no
// control id.
func FuzzByteLevel(f *testing.F) {
	user := byteVocab("llama-bpe", "a b", "ab ab", "Ġ a")
	user.Pieces, user.Types = append(user.Pieces, "b x", "abab"), user.Types+"DD"
	user.ByteLevel.IgnoreMerges = true
	composed := byteVocab("qwen2", "Ã ©", "a a", "aa a", "a aa")
	composed.ByteLevel.NFC = true
	for _, v := range []*bundle.Vocab{byteVocab("gpt-2", "a b", "b c", "ab c", "a bc", "Ġ Ġ"), byteVocab("smollm", "1 2"), user, composed} {
		rules := map[bool]string{false: "identity", true: "nfc"}[v.ByteLevel.NFC]
		data, err := json.Marshal(map[string]any{
			"kind": "byte-bpe", "pieces": v.Pieces, "types": v.Types, "splitting": v.ByteLevel.Splitting, "normalization": rules,
			"merges": v.ByteLevel.Merges, "ignore_merges": v.ByteLevel.IgnoreMerges,
			"chat": map[string][]int{"system": v.Chat.System, "user": v.Chat.User, "assistant": v.Chat.Assistant, "end": v.Chat.Closing},
		})
		if err != nil {
			f.Fatal(err)
		}
		parsed, err := bundle.ParseVocab(data)
		if err != nil {
			f.Fatal(err)
		}
		mustNew(f, parsed)
		f.Add(data, "abab abc é e\u0301\xff <|im_end|> b x  12's")
	}
	f.Fuzz(func(t *testing.T, data []byte, text string) {
		v, err := bundle.ParseVocab(data)
		if err != nil || v.ByteLevel == nil || len(text) > 300 {
			return
		}
		tok, err := New(v)
		if err != nil {
			return
		}
		ids := tok.Encode(text)
		if want := slowBytes(tok, text); !slices.Equal(ids, want) {
			t.Fatalf("%s: Encode(%q) = %v, the slow way %v", data, text, ids, want)
		}
		for _, id := range ids {
			if id < 0 || id >= tok.Size() || v.Types[id] == control {
				t.Fatalf("%s: the id %d from %q", data, id, text)
			}
		}
		if decoded := tok.Decode(ids); !utf8.ValidString(decoded) || !v.ByteLevel.NFC && decoded != characters(text) {
			t.Fatalf("%s: %q decodes to %q", data, text, decoded)
		}
	})
}
