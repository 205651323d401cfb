package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// Decoder turns a growing list of ids into text. What Push and Flush return, joined, is what Decode returns for the
// whole list; every part is whole UTF-8 characters.
type Decoder struct {
	t         *Tokenizer
	pending   []byte // bytes that do not make a whole character yet
	started   bool   // whether any text was returned
	noStrip   bool   // whether a leading ▁ is text from here on
	sawPrefix bool   // whether the piece before was the leading ▁ that was stripped
}

// NewDecoder starts a text.
func (t *Tokenizer) NewDecoder() *Decoder { return &Decoder{t: t} }

// Decode returns the text of ids, which must be within the vocabulary.
func (t *Tokenizer) Decode(ids []int) string {
	var text strings.Builder
	d := t.NewDecoder()
	for _, id := range ids {
		text.WriteString(d.Push(id))
	}
	text.WriteString(d.Flush())
	return text.String()
}

// Push adds one id and returns the text that is certain by now, possibly none.
func (d *Decoder) Push(id int) string {
	if d.t.byteLevel != nil {
		d.pending = append(d.pending, d.t.byteLevel.texts[id]...)
		return d.characters(false)
	}
	piece := d.t.vocab.Pieces[id]
	if d.t.vocab.Types[id] == byteType {
		b, _ := byteOf(piece)
		d.pending = append(d.pending, b)
		return d.characters(false)
	}
	text := d.Flush()
	if d.sawPrefix || d.started {
		d.noStrip = true
	}
	own := d.text(id, piece)
	d.started = d.started || own != ""
	return text + own
}

// Flush ends a run of byte pieces: bytes that make no character by now become U+FFFD.
func (d *Decoder) Flush() string { return d.characters(true) }

// characters takes whole characters from the pending bytes. U+FFFD replaces an invalid byte; in a byte-level BPE it replaces,
// as in Python, all the bytes that validly began a character. Unless final, a tail that further bytes may complete stays
// pending.
func (d *Decoder) characters(final bool) string {
	if len(d.pending) == 0 {
		return ""
	}
	var text strings.Builder
	rest := d.pending
	for len(rest) > 0 && (final || utf8.FullRune(rest)) {
		r, n := utf8.DecodeRune(rest)
		if n == 1 && r == utf8.RuneError && d.t.byteLevel != nil {
			n = begunCharacter(rest)
		}
		text.WriteRune(r)
		rest = rest[n:]
	}
	d.pending = append(d.pending[:0], rest...)
	d.started = d.started || text.Len() > 0
	return text.String()
}

// text returns what a piece other than a byte piece decodes to, and sets sawPrefix.
func (d *Decoder) text(id int, piece string) string {
	d.sawPrefix = false
	switch d.t.vocab.Types[id] {
	case control:
		return ""
	case unknown:
		return d.t.vocab.UnkSurface
	}
	rules := d.t.vocab.Normalizer
	if !d.noStrip && (rules.AddDummyPrefix || rules.RemoveExtraWhitespaces) {
		stripped, had := strings.CutPrefix(piece, spaceSymbol)
		piece = stripped
		// With RemoveExtraWhitespaces every leading ▁ is removed, otherwise only the first.
		d.sawPrefix = had && !rules.RemoveExtraWhitespaces
	}
	return strings.ReplaceAll(piece, spaceSymbol, " ")
}
