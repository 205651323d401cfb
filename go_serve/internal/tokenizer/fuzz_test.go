package tokenizer

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// FuzzEncode looks for a panic, for an id that text must never give, and for text that does not come back.
func FuzzEncode(f *testing.F) {
	var toks []*Tokenizer
	for _, name := range []string{"chat", "nmt_nfkc", "rules", "unused", "char", "shuffled", "spaces", "bytes", "byte-gpt-2", "byte-smollm", "byte-llama-bpe", "byte-qwen2"} {
		tok, v := readVectors(f, "testdata/"+name+".json.gz")
		toks = append(toks, tok)
		for _, c := range v.Cases[:20] {
			f.Add(c.Text)
		}
	}
	for _, seed := range []string{"", " ", "\x00", "\xff", "<|user|>", "<0x0A>", "<unk>", "＜｜ｕｓｅｒ｜＞", "e\u0301\u0301", "\u2581\u2581",
		strings.Repeat("a", 100), strings.Repeat("ab ", 50), "\xe2\x96", "\xf0\x9f\x98", "\xed\xa0\x80", "\u0958\u1100\u1161\u11a8"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		text := string(data)
		for n, tok := range toks {
			ids := tok.Encode(text)
			for _, id := range ids {
				if id < 0 || id >= tok.Size() || tok.vocab.Types[id] == control {
					t.Fatalf("tokenizer %d: id %d from %q", n, id, text)
				}
			}
			if again := tok.AppendEncode([]int{-1}, text); !slices.Equal(again[1:], ids) || again[0] != -1 {
				t.Fatalf("tokenizer %d: %q gives %v, then %v", n, text, ids, again)
			}
			decoded := tok.Decode(ids)
			if !utf8.ValidString(decoded) {
				t.Fatalf("tokenizer %d: %q decodes to invalid UTF-8 %q", n, text, decoded)
			}
			if n == 0 && decoded != asText(data) { // the tokenizer of the chat loses nothing
				t.Fatalf("%q comes back as %q", text, decoded)
			}
		}
	})
}

// slowDecode says what a list of ids stands for with the whole list at hand, in the order of sentencepiece_processor.cc.
func slowDecode(t *Tokenizer, ids []int) string {
	v := t.vocab
	if t.byteLevel != nil {
		var data []byte
		for _, id := range ids {
			data = append(data, t.Bytes(id)...)
		}
		return characters(string(data))
	}
	text, atStart, sawSpace := "", true, false
	for len(ids) > 0 {
		var run []byte
		for len(ids) > 0 && v.Types[ids[0]] == byteType {
			b, _ := byteOf(v.Pieces[ids[0]])
			run, ids = append(run, b), ids[1:]
		}
		if run != nil {
			for _, r := range string(run) { // ranging gives U+FFFD per invalid byte
				text += string(r)
			}
			continue
		}
		id := ids[0]
		piece := v.Pieces[id]
		ids = ids[1:]
		atStart = atStart && !sawSpace && text == ""
		sawSpace = false
		switch v.Types[id] {
		case control:
			piece = ""
		case unknown:
			piece = v.UnkSurface
		default:
			if atStart && (v.Normalizer.AddDummyPrefix || v.Normalizer.RemoveExtraWhitespaces) && strings.HasPrefix(piece, spaceSymbol) {
				piece = piece[len(spaceSymbol):]
				sawSpace = !v.Normalizer.RemoveExtraWhitespaces
			}
			piece = strings.ReplaceAll(piece, spaceSymbol, " ")
		}
		text += piece
	}
	return text
}

// FuzzDecode gives any ids, two bytes each: what a Decoder lets go of piece by piece is whole characters at any time, and
// all together what the list stands for.
func FuzzDecode(f *testing.F) {
	var toks []*Tokenizer
	for _, name := range []string{"chat", "nmt_nfkc", "rules", "unused", "char", "shuffled", "spaces", "bytes", "byte-gpt-2", "byte-smollm", "byte-llama-bpe", "byte-qwen2"} {
		tok, v := readVectors(f, "testdata/"+name+".json.gz")
		toks = append(toks, tok)
		for _, c := range v.Cases[:20] {
			var data []byte
			for _, id := range tok.Encode(string(c.Text)) {
				data = binary.LittleEndian.AppendUint16(data, uint16(id))
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for n, tok := range toks {
			var ids []int
			for rest := data; len(rest) >= 2; rest = rest[2:] {
				ids = append(ids, int(binary.LittleEndian.Uint16(rest))%tok.Size())
			}
			var text strings.Builder
			d := tok.NewDecoder()
			for _, id := range ids {
				part := d.Push(id)
				if !utf8.ValidString(part) {
					t.Fatalf("tokenizer %d, %v: after %d comes %q", n, ids, id, part)
				}
				text.WriteString(part)
			}
			text.WriteString(d.Flush())
			if want := slowDecode(tok, ids); text.String() != want {
				t.Fatalf("tokenizer %d, %v: piece by piece %q, want %q", n, ids, text.String(), want)
			}
			if got := tok.Decode(ids); got != text.String() {
				t.Fatalf("tokenizer %d, %v: Decode gives %q, piece by piece it is %q", n, ids, got, text.String())
			}
		}
	})
}

// asText is what a lossless tokenizer makes of any bytes: ▁ is a space to it, and an invalid byte U+FFFD.
func asText(data []byte) string {
	var text strings.Builder
	for _, r := range string(data) { // ranging gives U+FFFD per invalid byte
		text.WriteRune(r)
	}
	return strings.ReplaceAll(text.String(), spaceSymbol, " ")
}

// TestHostileCharsmap walks tables of random bytes: nothing may panic or hang.
func TestHostileCharsmap(t *testing.T) {
	state := uint32(1)
	for range 200 {
		data := make([]byte, 4+1024+16)
		for i := range data {
			state = state*1664525 + 1013904223
			data[i] = byte(state >> 24)
		}
		copy(data, "\x00\x04\x00\x00")
		data[len(data)-1] = 0
		v := withBytes(small("a"))
		v.Normalizer.Charsmap = data
		tok := mustNew(t, v)
		for b := range 256 {
			for _, text := range []string{string([]byte{byte(b), 'a', byte(state), byte(b)}), string([]byte{0xd0, byte(b), byte(state)})} {
				if want := (&slowEncoder{t: tok}).encode(text); !slices.Equal(tok.Encode(text), want) {
					t.Fatalf("Encode(%q) = %v, the slow way %v", text, tok.Encode(text), want)
				}
			}
		}
	}
}

// TestEndlessRule gives tables in which a rule never ends, being a cycle, and in which a replacement hardly does: a text
// takes neither the square of its length nor many times its memory.
func TestEndlessRule(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a minute under the race detector, on one goroutine")
	}
	units := make([]byte, 4096)
	binary.LittleEndian.PutUint32(units[4*'h':], 'h'<<10|'h') // from the root back to the root
	table := func(replacements string) []byte {
		return append(append([]byte{0, 16, 0, 0}, units...), replacements...)
	}
	v := withBytes(small("hh"))
	v.Normalizer.Charsmap = table("\x00")
	tok := mustNew(t, v)
	began := time.Now()
	if ids := tok.Encode(strings.Repeat("h", 300_000)); len(ids) != 150_000 {
		t.Errorf("%d ids", len(ids))
	}
	if took := time.Since(began); took > 20*time.Second { // the square takes minutes
		t.Errorf("it took %v", took)
	}
	for size, want := range map[int]bool{maxRuleBytes: true, maxRuleBytes + 1: false} {
		v.Normalizer.Charsmap = table("y\x00" + strings.Repeat("x", size) + "\x00")
		if _, err := New(v); (err == nil) != want {
			t.Errorf("a replacement of %d bytes: %v", size, err)
		}
	}
}

// charsmapOf makes the table of rules for single bytes: the root's children are the units from 256 on, and their values
// the units from 768 on.
func charsmapOf(rules map[byte]string) []byte {
	units := make([]uint32, 1024)
	units[0] = 256 << 10
	var replacements []byte
	for from, to := range rules {
		units[256^int(from)] = 512<<10 | 1<<8 | uint32(from)
		units[768^int(from)] = 1<<31 | uint32(len(replacements))
		replacements = append(append(replacements, to...), 0)
	}
	data := binary.LittleEndian.AppendUint32(nil, uint32(4*len(units)))
	for _, unit := range units {
		data = binary.LittleEndian.AppendUint32(data, unit)
	}
	return append(data, replacements...)
}

// TestReplacementsNeedNotBeText gives the merger bytes that are no UTF-8, as only a damaged table can.
func TestReplacementsNeedNotBeText(t *testing.T) {
	v := withBytes(small("©", "i", "é", "éi", "éé", "界", "x"))
	v.Normalizer.Charsmap = charsmapOf(map[byte]string{'a': "\xa9", 'b': "\xc1\xa9", 'c': "é", 'd': "", 'e': "\xe7\x95", 'f': "\xf0", 'g': " x "})
	tok := mustNew(t, v)
	if got, want := tok.Encode("cixd"), []int{8, 11}; !slices.Equal(got, want) {
		t.Errorf("Encode gives %v, want %v", got, want)
	}
	chance := rand.New(rand.NewPCG(7, 8))
	for range 2000 {
		var text []byte
		for range chance.IntN(12) {
			text = append(text, "abcdefgix "[chance.IntN(10)])
		}
		if want := (&slowEncoder{t: tok}).encode(string(text)); !slices.Equal(tok.Encode(string(text)), want) {
			t.Fatalf("Encode(%q) = %v, the slow way %v", text, tok.Encode(string(text)), want)
		}
	}
}
