package tokenizer

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Piece returns the spelling of an id for people: ▁ stands for a space, <0x0A> for a byte that is not a character by itself.
func (t *Tokenizer) Piece(id int) string {
	if t.byteLevel == nil || t.vocab.Types[id] == control {
		return t.vocab.Pieces[id]
	}
	text := t.byteLevel.texts[id]
	if utf8.ValidString(text) {
		return strings.ReplaceAll(text, " ", spaceSymbol)
	}
	var spelt strings.Builder
	for _, b := range []byte(text) {
		fmt.Fprintf(&spelt, "<0x%02X>", b)
	}
	return spelt.String()
}
