package tokenizer

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// symbolSet finds the longest user-defined piece at the start of a text.
type symbolSet struct {
	pieces  map[string]struct{}
	lengths [256][]int // by first byte: which lengths occur, longest first
}

func (s *symbolSet) add(piece string) {
	if s.pieces == nil {
		s.pieces = make(map[string]struct{})
	}
	s.pieces[piece] = struct{}{}
	lengths := &s.lengths[piece[0]]
	if !slices.Contains(*lengths, len(piece)) {
		*lengths = append(*lengths, len(piece))
		slices.SortFunc(*lengths, func(a, b int) int { return b - a })
	}
}

// match returns the length of the longest piece that text begins with, 0 where there is none.
func (s *symbolSet) match(text string) int {
	for _, n := range s.lengths[text[0]] {
		if n <= len(text) {
			if _, ok := s.pieces[text[:n]]; ok {
				return n
			}
		}
	}
	return 0
}

// charsmap is SentencePiece's compiled table of replacements: a Darts double array over the input bytes whose values
// point at NUL-ended strings.
type charsmap struct {
	units        []uint32
	replacements string
}

// parseCharsmap reads u32 size of the trie in bytes | trie | replacements. Empty data is no table.
func parseCharsmap(data []byte) (*charsmap, error) {
	if len(data) == 0 {
		return nil, nil
	}
	if len(data) < 4 {
		return nil, fmt.Errorf("precompiled_charsmap is too short")
	}
	size := binary.LittleEndian.Uint32(data)
	body := data[4:]
	if size == 0 || size%1024 != 0 || uint64(size) >= uint64(len(body)) || body[len(body)-1] != 0 {
		return nil, fmt.Errorf("precompiled_charsmap is damaged")
	}
	c := &charsmap{units: make([]uint32, size/4), replacements: string(body[size:])}
	for i := range c.units {
		c.units[i] = binary.LittleEndian.Uint32(body[4*i:])
	}
	return c, nil
}

// longest returns the replacement of the longest rule that text begins with, and that rule's length; 0 where there is
// none. A table that points outside itself ends the walk.
func (c *charsmap) longest(text string) (replacement string, length int) {
	offset := func(u uint32) uint32 { return (u >> 10) << ((u & 0x200) >> 6) }
	at := offset(c.units[0])
	value := uint32(0)
	for i := range len(text) {
		at ^= uint32(text[i])
		if uint64(at) >= uint64(len(c.units)) {
			break
		}
		unit := c.units[at]
		if unit&0x800000ff != uint32(text[i]) {
			break
		}
		at ^= offset(unit)
		if unit>>8&1 == 1 && uint64(at) < uint64(len(c.units)) { // a rule ends here
			value, length = c.units[at]&0x7fffffff, i+1
		}
	}
	if uint64(value) >= uint64(len(c.replacements)) {
		return "", 0
	}
	replacement, _, _ = strings.Cut(c.replacements[value:], "\x00")
	return replacement, length
}

// normalizePrefix returns what the start of text becomes and how many bytes that takes: the longest user-defined symbol
// stays as it is; else the longest rule applies; else one character stays, or one invalid byte becomes U+FFFD.
func (t *Tokenizer) normalizePrefix(text string) (string, int) {
	if n := t.symbols.match(text); n > 0 {
		return text[:n], n
	}
	if t.charsmap != nil {
		if replacement, n := t.charsmap.longest(text); n > 0 {
			return replacement, n
		}
	}
	r, n := utf8.DecodeRuneInString(text)
	if r == utf8.RuneError && n == 1 {
		return "\ufffd", 1
	}
	return text[:n], n
}

// normalize prepares text for merging: replacements, whitespace rules, spaces as ▁.
func (t *Tokenizer) normalize(text string) string {
	rules := t.vocab.Normalizer
	space := " "
	if rules.EscapeWhitespaces {
		space = spaceSymbol
	}
	if rules.RemoveExtraWhitespaces { // leading ones go before the dummy prefix comes
		for text != "" {
			piece, n := t.normalizePrefix(text)
			if piece != " " {
				break
			}
			text = text[n:]
		}
	}
	if text == "" {
		return ""
	}

	out := make([]byte, 0, len(text)+len(text)/2+8)
	if rules.AddDummyPrefix && !t.vocab.SpaceSuffix {
		out = append(out, space...)
	}
	afterSpace := rules.RemoveExtraWhitespaces
	for text != "" {
		piece, n := t.normalizePrefix(text)
		text = text[n:]
		if afterSpace {
			piece = strings.TrimLeft(piece, " ")
		}
		if piece != "" {
			for i := range len(piece) {
				if piece[i] == ' ' {
					out = append(out, space...)
				} else {
					out = append(out, piece[i])
				}
			}
			afterSpace = rules.RemoveExtraWhitespaces && piece[len(piece)-1] == ' '
		}
	}
	result := string(out)
	if rules.RemoveExtraWhitespaces {
		for strings.HasSuffix(result, space) { // a literal ▁ too, and the dummy prefix
			result = result[:len(result)-len(space)]
		}
	}
	if rules.AddDummyPrefix && t.vocab.SpaceSuffix {
		result += space
	}
	return result
}
