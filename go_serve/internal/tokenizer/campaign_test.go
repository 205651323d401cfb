package tokenizer

import (
	"encoding/binary"
	"os"
	"slices"
	"testing"

	"minitron/internal/bundle"
)

// TestCampaign compares with what the C++ library made of many texts. testdata/campaign.py writes the file that
// MINITRON_CAMPAIGN names, and reads the last line.
func TestCampaign(t *testing.T) {
	path := os.Getenv("MINITRON_CAMPAIGN")
	if path == "" {
		t.Skip("MINITRON_CAMPAIGN names no file; run: python benchmarks/tokenizer.py --fuzz 100000")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	vocab, data := unpack(data, 1)
	texts, data := unpack(data, 1)
	wantIDs, data := unpack(data, 4)
	wantTexts, _ := unpack(data, 1)
	v, err := bundle.ParseVocab(vocab[0])
	if err != nil {
		t.Fatal(err)
	}
	tok := mustNew(t, v)
	var ids, want []int
	wrong := 0
	for i, text := range texts {
		want = want[:0]
		for raw := wantIDs[i]; len(raw) > 0; raw = raw[4:] {
			want = append(want, int(binary.LittleEndian.Uint32(raw)))
		}
		ids = tok.AppendEncode(ids[:0], string(text))
		decoded := tok.Decode(want)
		if slices.Equal(ids, want) && decoded == string(wantTexts[i]) {
			continue
		}
		if wrong++; wrong <= 5 {
			t.Logf("differs: %q gives %v, want %v; decoded %q, want %q", text, ids, want, decoded, wantTexts[i])
		}
	}
	t.Logf("campaign: %d texts, %d wrong", len(texts), wrong)
}

// unpack reads u32 how many, u32 the length of each, then the elements, whose unit is so many bytes.
func unpack(data []byte, unit int) (elements [][]byte, rest []byte) {
	count := int(binary.LittleEndian.Uint32(data))
	lengths, rest := data[4:4+4*count], data[4+4*count:]
	elements = make([][]byte, count)
	for i := range elements {
		n := unit * int(binary.LittleEndian.Uint32(lengths[4*i:]))
		elements[i], rest = rest[:n], rest[n:]
	}
	return elements, rest
}
