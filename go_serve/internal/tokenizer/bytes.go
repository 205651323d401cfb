package tokenizer

import "strings"

// Bytes returns what an id stands for within a text: the text of a piece, or one byte, which may be part of a character. It is
// nil for a control piece and for the unknown piece, which stand for nothing. The space that some vocabularies put before a
// text, and that Decode removes again, is included.
func (t *Tokenizer) Bytes(id int) []byte {
	piece := t.vocab.Pieces[id]
	if t.byteLevel != nil && t.vocab.Types[id] != control {
		return []byte(t.byteLevel.texts[id])
	}
	switch t.vocab.Types[id] {
	case control, unknown:
		return nil
	case byteType:
		b, _ := byteOf(piece)
		return []byte{b}
	}
	return []byte(strings.ReplaceAll(piece, spaceSymbol, " "))
}
