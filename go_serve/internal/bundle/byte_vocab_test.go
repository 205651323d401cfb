package bundle

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"minitron/internal/fault"
)

// byteVocab is a vocab.json of byte-level BPE as far as this package looks: six pieces.
const byteVocab = `{"kind": "byte-bpe", "pieces": ["<|end|>", "<|start|>", "a", "b", "ab", ""], "types": "CCNNNC", "merges": [2, 3, 4],
	"ignore_merges": true, "splitting": "qwen2", "normalization": "nfc",
	"chat": {"system": [1, 2], "user": [1, 3], "assistant": [1, 4], "end": [0, 3]}}`

func TestByteVocab(t *testing.T) {
	v, err := ParseVocab([]byte(byteVocab))
	if err != nil {
		t.Fatal(err)
	}
	b := v.ByteLevel
	if b == nil || b.Splitting != "qwen2" || !b.NFC || !b.IgnoreMerges || !slices.Equal(b.Merges, []int{2, 3, 4}) {
		t.Errorf("%+v", b)
	}
	if !slices.Equal(v.Chat.Assistant, []int{1, 4}) || !slices.Equal(v.Chat.Closing, []int{0, 3}) || v.Chat.End() != 0 {
		t.Errorf("%+v", v.Chat)
	}
	if v.Chat.Start != nil || v.Chat.Strip {
		t.Errorf("%+v", v.Chat)
	}
	v, err = ParseVocab(set(t, set(t, []byte(byteVocab), "chat.start", "[5]"), "chat.strip", "true"))
	if err != nil || !slices.Equal(v.Chat.Start, []int{5}) || !v.Chat.Strip {
		t.Errorf("%v, %v", v, err)
	}
}

func TestByteVocabRefused(t *testing.T) {
	tests := []struct{ path, value, want string }{
		{"types", `"CCNN"`, "it has 6 pieces and 4 types"},
		{"merges", `["a"]`, `"merges" is not a list of whole numbers`},
		{"merges", "", `"merges" is missing`},
		{"ignore_merges", "1", `"ignore_merges" is not true or false`},
		{"splitting", "null", `"splitting" is not a string`},
		{"normalization", `"nfkc"`, `"normalization" is "nfkc", this program knows "identity" and "nfc"`},
		{"chat.end", "[]", "it has no end marker"},
		{"chat.end", "[4]", `the chat marker "ab" has the type 'N', it must be a control piece`},
		{"chat.end", "[1]", "two chat markers have the id 1"},
		{"chat.user", "[1, 2]", "two chat markers have the id 1"},
		{"chat.user", "[]", "it has chat markers for some of the roles only"},
		{"chat.user", "[1, 6]", "a chat marker has the id 6, and there are 6 pieces"},
		{"chat.user", "[-1]", "a chat marker has the id -1, and there are 6 pieces"},
		{"chat.user", "[" + strings.Repeat("1,", 64) + "2]", `"chat.user" has more than 64 elements`},
		{"chat.start", "[2]", `the chat marker "a" has the type 'N', it must be a control piece`},
		{"chat.start", "[1]", "two chat markers have the id 1"},
		{"chat.start", "[6]", "a chat marker has the id 6, and there are 6 pieces"},
		{"chat.strip", "1", `"chat.strip" is not true or false`},
		{"pieces", "[]", "it has 0 pieces and 6 types"},
	}
	for _, test := range tests {
		if _, err := ParseVocab(set(t, []byte(byteVocab), test.path, test.value)); err == nil || err.Error() != test.want {
			t.Errorf("%s = %.20s: %v, want %s", test.path, test.value, err, test.want)
		}
	}
	base := []byte(byteVocab)
	for _, role := range []string{"system", "user", "assistant"} {
		base = set(t, base, "chat."+role, "[]")
	}
	if _, err := ParseVocab(base); err != nil {
		t.Errorf("without dialogues: %v", err)
	}
	m := files(t)
	base = set(t, base, "pieces", `["`+strings.TrimSuffix(strings.Repeat(`a","`, 272), `","`)+`"]`)
	m["vocab.json"].Data = set(t, base, "types", fmt.Sprintf("%q", strings.Repeat("C", 272)))
	resign(t, m, "vocab", m["vocab.json"].Data)
	if err := openAt(t, m); err != nil {
		t.Errorf("without dialogues, and the model continues text: %v", err)
	}
	m["config.json"].Data = set(t, m["config.json"].Data, "template", `"chatml"`)
	want := "vocab.json is not usable: it has no chat markers, config.json says that the model answers messages"
	if err := openAt(t, m); err == nil || err.Error() != want || fault.Hint(err) == "" {
		t.Errorf("%v, want %s", err, want)
	}
}

// TestManyMerges reads as many as there may be, and more: memory stays within some times the file.
func TestManyMerges(t *testing.T) {
	for _, count := range []int{maxMerges, maxMerges + 1} {
		data := []byte(strings.Replace(byteVocab, "[2, 3, 4]", "["+strings.Repeat("2,3,4,", count-1)+"2,3,4]", 1))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := ParseVocab(data)
		runtime.ReadMemStats(&after)
		if (err == nil) != (count == maxMerges) {
			t.Errorf("%d merges: %v", count, err)
		}
		if times := (after.TotalAlloc - before.TotalAlloc) / uint64(len(data)); times > 40 {
			t.Errorf("%d merges: %d times the file were allocated", count, times)
		}
	}
}
