package tokenizer

import (
	"encoding/json"
	"slices"
	"testing"
	"unicode/utf8"

	"minitron/internal/bundle"
)

// FuzzNew gives any vocab.json, any table of replacements and any text: what is taken encodes as the slow way does, without a panic, and gives no
// control id.
func FuzzNew(f *testing.F) {
	withTable := withBytes(small("hh", "▁a", "é"))
	withTable.Normalizer.Charsmap = charsmapOf(map[byte]string{'a': "\xa9", 'b': "x y", 'c': ""})
	for _, v := range []*bundle.Vocab{small("a", "b", "ab", "▁", "▁ab"), withBytes(small("ab", "abc", "c")), withTable} {
		charsmap := append([]byte{}, v.Normalizer.Charsmap...) // nil would be null
		data, err := json.Marshal(map[string]any{
			"kind": "sentencepiece-bpe", "pieces": v.Pieces, "scores": v.Scores, "types": v.Types, "unk_id": v.UnkID, "unk_surface": v.UnkSurface,
			"byte_fallback": v.ByteFallback, "treat_whitespace_as_suffix": v.SpaceSuffix,
			"normalizer": map[string]any{"add_dummy_prefix": true, "remove_extra_whitespaces": true, "escape_whitespaces": true, "precompiled_charsmap": charsmap},
			"chat":       map[string]int{"system": v.Chat.System[0], "user": v.Chat.User[0], "assistant": v.Chat.Assistant[0], "end": v.Chat.End()},
		})
		if err != nil {
			f.Fatal(err)
		}
		if parsed, err := bundle.ParseVocab(data); err != nil {
			f.Fatal(err)
		} else if _, err := New(parsed); err != nil {
			f.Fatal(err)
		}
		f.Add(data, charsmap, "hhab abc é\xff")
	}
	f.Fuzz(func(t *testing.T, data, charsmap []byte, text string) {
		v, err := bundle.ParseVocab(data)
		if err != nil || len(text) > 300 {
			return
		}
		if len(charsmap) > 0 {
			v.Normalizer.Charsmap = charsmap
		}
		tok, err := New(v)
		if err != nil {
			return
		}
		ids := tok.Encode(text)
		if want := (&slowEncoder{t: tok}).encode(text); !slices.Equal(ids, want) {
			t.Fatalf("%s: Encode(%q) = %v, the slow way %v", data, text, ids, want)
		}
		for _, id := range ids {
			if id < 0 || id >= tok.Size() || v.Types[id] == control {
				t.Fatalf("%s: the id %d from %q", data, id, text)
			}
		}
		if decoded := tok.Decode(ids); !utf8.ValidString(decoded) {
			t.Fatalf("%s: %q decodes to %q", data, text, decoded)
		}
	})
}
