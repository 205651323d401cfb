package tokenizer

import "strings"

// Bytes returns what an id stands for within a text: one byte, possibly part of a character, or the text of a piece. A
// control piece and the unknown one stand for nothing: nil. The space that some vocabularies put before a text, and that
// Decode takes off again, is there.
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
