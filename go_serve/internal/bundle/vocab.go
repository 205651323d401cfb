package bundle

import (
	"encoding/base64"
	"fmt"

	"minitron/internal/jsonread"
)

// Normalizer holds the settings of SentencePiece's text normaliser.
type Normalizer struct {
	AddDummyPrefix         bool
	RemoveExtraWhitespaces bool
	EscapeWhitespaces      bool
	Charsmap               []byte // precompiled, as SentencePiece stores it; empty: identity
}

// ChatIDs are the ids of the template's control pieces.
type ChatIDs struct {
	System, User, Assistant, End int
}

// Vocab is vocab.json, checked for types and sizes; the tokenizer checks what its pieces mean.
type Vocab struct {
	Pieces       []string
	Scores       []float32 // one per piece
	Types        string    // one letter per piece: N, U, C, D, X or B
	UnkID        int
	UnkSurface   string // what the unknown piece decodes to
	ByteFallback bool
	Normalizer   Normalizer
	SpaceSuffix  bool // the dummy prefix goes behind (SentencePiece: treat_whitespace_as_suffix)
	Chat         ChatIDs
}

// ParseVocab reads vocab.json.
func ParseVocab(data []byte) (*Vocab, error) { return parseVocab(data, maxVocabSize) }

// parseVocab reads a vocab.json of so many pieces at most.
func parseVocab(data []byte, most int) (*Vocab, error) {
	top := jsonread.Parse(data)
	if kind := top.Text("kind"); top.Err() == nil && kind != "sentencepiece-bpe" {
		top.Fail("kind", "is %q, this program knows \"sentencepiece-bpe\"", kind)
	}
	v := &Vocab{
		Pieces:       top.Strings("pieces", most),
		Scores:       top.Floats("scores", most),
		Types:        top.Text("types"),
		UnkSurface:   top.Text("unk_surface"),
		ByteFallback: top.Flag("byte_fallback"),
		SpaceSuffix:  top.Flag("treat_whitespace_as_suffix"),
	}
	last := int64(len(v.Pieces)) - 1
	v.UnkID = int(top.Integer("unk_id", 0, last))

	n := top.Object("normalizer")
	v.Normalizer.AddDummyPrefix = n.Flag("add_dummy_prefix")
	v.Normalizer.RemoveExtraWhitespaces = n.Flag("remove_extra_whitespaces")
	v.Normalizer.EscapeWhitespaces = n.Flag("escape_whitespaces")
	charsmap, err := base64.StdEncoding.DecodeString(n.Text("precompiled_charsmap"))
	if err != nil {
		n.Fail("precompiled_charsmap", "is not base64")
	}
	v.Normalizer.Charsmap = charsmap

	chat := top.Object("chat")
	v.Chat = ChatIDs{
		System:    int(chat.Integer("system", 0, last)),
		User:      int(chat.Integer("user", 0, last)),
		Assistant: int(chat.Integer("assistant", 0, last)),
		End:       int(chat.Integer("end", 0, last)),
	}
	if top.Err() != nil {
		return nil, top.Err()
	}
	return v, v.check()
}

// check looks at what one value says about another.
func (v *Vocab) check() error {
	switch {
	case len(v.Scores) != len(v.Pieces):
		return fmt.Errorf("it has %d pieces and %d scores", len(v.Pieces), len(v.Scores))
	case len(v.Types) != len(v.Pieces):
		return fmt.Errorf("it has %d pieces and %d types", len(v.Pieces), len(v.Types))
	}
	seen := make(map[int]bool)
	for _, id := range []int{v.Chat.System, v.Chat.User, v.Chat.Assistant, v.Chat.End} {
		if v.Types[id] != 'C' {
			return fmt.Errorf("the chat marker %q has the type %q, it must be a control piece", v.Pieces[id], v.Types[id])
		}
		if seen[id] {
			return fmt.Errorf("two chat markers have the id %d", id)
		}
		seen[id] = true
	}
	return nil
}
