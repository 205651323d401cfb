package bundle

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"
)

// BenchmarkParseVocab reads the file that MINITRON_VOCAB names, else a made-up vocabulary of 32,000 pieces.
func BenchmarkParseVocab(b *testing.B) {
	data := madeVocab(b)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseVocab(data); err != nil {
			b.Fatal(err)
		}
	}
}

func madeVocab(t testing.TB) []byte {
	if path := os.Getenv("MINITRON_VOCAB"); path != "" {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	pieces, types := []string{"<unk>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"}, "UCCCC"
	for n := len(pieces); n < 32000; n++ {
		pieces, types = append(pieces, fmt.Sprintf("▁слово%d", n)), types+"N"
	}
	scores := make([]float32, len(pieces))
	for n := range scores {
		scores[n] = -float32(n)
	}
	data, err := json.Marshal(map[string]any{
		"kind": "sentencepiece-bpe", "pieces": pieces, "scores": scores, "types": types, "unk_id": 0, "unk_surface": "?",
		"byte_fallback": false, "treat_whitespace_as_suffix": false,
		"normalizer": map[string]any{"add_dummy_prefix": false, "remove_extra_whitespaces": false, "escape_whitespaces": true,
			"precompiled_charsmap": ""},
		"chat": map[string]int{"system": 1, "user": 2, "assistant": 3, "end": 4},
	})
	if err != nil {
		t.Fatal(err)
	}
	return data
}
