package bundle

import (
	"encoding/base64"
	"fmt"
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
	top, failed := scanFields(data)
	if kind := top.text("kind"); *failed == nil && kind != "sentencepiece-bpe" {
		top.fail("kind", fmt.Sprintf("is %q, this program knows \"sentencepiece-bpe\"", kind))
	}
	v := &Vocab{
		Pieces:       top.strings("pieces", most),
		Scores:       top.floats("scores", most),
		Types:        top.longText("types"),
		UnkSurface:   top.text("unk_surface"),
		ByteFallback: top.flag("byte_fallback"),
		SpaceSuffix:  top.flag("treat_whitespace_as_suffix"),
	}
	last := int64(len(v.Pieces)) - 1
	v.UnkID = int(top.integer("unk_id", 0, last))

	n := top.longObject("normalizer")
	v.Normalizer.AddDummyPrefix = n.flag("add_dummy_prefix")
	v.Normalizer.RemoveExtraWhitespaces = n.flag("remove_extra_whitespaces")
	v.Normalizer.EscapeWhitespaces = n.flag("escape_whitespaces")
	charsmap, err := base64.StdEncoding.DecodeString(n.longText("precompiled_charsmap"))
	if err != nil {
		n.fail("precompiled_charsmap", "is not base64")
	}
	v.Normalizer.Charsmap = charsmap

	chat := top.object("chat")
	v.Chat = ChatIDs{
		System:    int(chat.integer("system", 0, last)),
		User:      int(chat.integer("user", 0, last)),
		Assistant: int(chat.integer("assistant", 0, last)),
		End:       int(chat.integer("end", 0, last)),
	}
	if *failed != nil {
		return nil, *failed
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
