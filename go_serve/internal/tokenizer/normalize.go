package tokenizer

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// class says what the normaliser may do with a byte without looking at rules and symbols.
type class uint8

const (
	careful     class = iota // ask normalizePrefix
	plain                    // the byte is a character that stays
	blank                    // the byte is a space that no rule and no symbol begins with
	plainTwo                 // if one continuation byte follows, a character that stays
	plainThree               // if two follow, a character that stays
	unlessRule               // a character that stays unless a rule goes on with the next byte
	unlessRule2              // the same for the first of two bytes
)

// classify fills the table of classes.
func (t *Tokenizer) classify() {
	for b := range t.classes {
		c := careful
		switch {
		case t.symbols.begins[b]:
		case b == ' ':
			if t.charsmap == nil || t.charsmap.after[b] == noRule {
				c = blank
			}
		case b < utf8.RuneSelf:
			c = plain
			if t.charsmap != nil && t.charsmap.after[b] != noRule {
				c = unlessRule
			}
		case b >= 0xc2 && b < 0xe0: // below are continuations and overlong forms
			c = plainTwo
			if t.charsmap != nil {
				c = unlessRule2
			}
		case b > 0xe0 && b < 0xf0 && b != 0xed && t.charsmap == nil: // after 0xe0 and 0xed some forms are invalid
			c = plainThree
		}
		t.classes[b] = c
	}
}

// stays returns the end of the run of characters, beginning at `at`, that normalising leaves as they are.
func (t *Tokenizer) stays(text string, at int) int {
	for at < len(text) {
		switch t.classes[text[at]] {
		case plain:
			at++
			continue
		case plainTwo:
			if at+1 < len(text) && isContinuation(text[at+1]) {
				at += 2
				continue
			}
		case plainThree:
			if at+2 < len(text) && isContinuation(text[at+1]) && isContinuation(text[at+2]) {
				at += 3
				continue
			}
		case unlessRule:
			if t.charsmap.unchanged(uint32(text[at]), text, at+1) {
				at++
				continue
			}
		case unlessRule2:
			if at+1 < len(text) && isContinuation(text[at+1]) &&
				t.charsmap.unchanged(uint32(text[at]&0x1f)<<6|uint32(text[at+1]&0x3f), text, at+2) {
				at += 2
				continue
			}
		}
		break
	}
	return at
}

func isContinuation(b byte) bool { return b&0xc0 == 0x80 }

// normalizePrefix returns what the beginning of text becomes, and how many bytes of text that covers: the longest user-defined
// symbol stays as it is; otherwise the longest rule applies; otherwise one character stays, or one invalid byte becomes U+FFFD.
func (t *Tokenizer) normalizePrefix(text string) (string, int) {
	if t.symbols.begins[text[0]] {
		if _, n := longestSymbol(&t.symbols, text); n > 0 {
			return text[:n], n
		}
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

// normalize appends the normalised text to out: replacements are made, the whitespace rules applied, and spaces written as ▁.
func (t *Tokenizer) normalize(out []byte, text string) []byte {
	rules := &t.vocab.Normalizer
	space := " "
	if rules.EscapeWhitespaces {
		space = spaceSymbol
	}
	if rules.RemoveExtraWhitespaces { // leading spaces are removed before the dummy prefix is added
		for text != "" {
			piece, n := t.normalizePrefix(text)
			if piece != " " {
				break
			}
			text = text[n:]
		}
	}
	if text == "" {
		return out
	}

	if rules.AddDummyPrefix && !t.vocab.SpaceSuffix {
		out = append(out, space...)
	}
	afterSpace := rules.RemoveExtraWhitespaces // a space here would be one too many
	for at := 0; at < len(text); {
		if end := t.stays(text, at); end > at {
			out = append(out, text[at:end]...)
			afterSpace = false
			if at = end; at == len(text) {
				break
			}
		}
		if t.classes[text[at]] == blank {
			if !afterSpace {
				out = append(out, space...)
			}
			afterSpace = rules.RemoveExtraWhitespaces
			at++
			continue
		}
		piece, n := t.normalizePrefix(text[at:])
		at += n
		if afterSpace {
			piece = strings.TrimLeft(piece, " ")
		}
		if piece != "" {
			out = appendEscaped(out, piece, space)
			afterSpace = rules.RemoveExtraWhitespaces && piece[len(piece)-1] == ' '
		}
	}
	if rules.RemoveExtraWhitespaces {
		for bytes.HasSuffix(out, []byte(space)) { // a literal ▁ too, and the dummy prefix
			out = out[:len(out)-len(space)]
		}
	}
	if rules.AddDummyPrefix && t.vocab.SpaceSuffix {
		out = append(out, space...)
	}
	return out
}

// appendEscaped appends text with space in place of every ' '.
func appendEscaped(out []byte, text, space string) []byte {
	for {
		before, after, found := strings.Cut(text, " ")
		out = append(out, before...)
		if !found {
			return out
		}
		out = append(out, space...)
		text = after
	}
}
