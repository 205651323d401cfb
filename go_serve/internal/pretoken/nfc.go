package pretoken

import (
	"slices"
	"unicode/utf8"
)

// Syllables of Hangul are computed (Unicode, section 3.12) from a lead, a vowel and possibly a trail.
const (
	firstSyllable, firstLead, firstVowel, firstTrail = 0xac00, 0x1100, 0x1161, 0x11a7 // the first trail stands for having none
	leads, vowels, trails                            = 19, 21, 28
)

// mark is a character with its canonical combining class.
type mark struct {
	char  rune
	order uint8
}

// NFC returns a text of valid UTF-8 in Normalization Form C. A text that is in that form already is returned as it is.
func NFC(text string) string {
	t := tables()
	var out []byte
	var span []mark
	done := 0   // how many bytes of text are in out already
	begin := -1 // where the stretch that may change begins: one character before the first restless one; -1: none
	last := 0   // where the character before began
	flush := func(at int) {
		span = t.decompose(span[:0], text[begin:at])
		out = append(out, text[done:begin]...)
		for _, m := range t.compose(span) {
			out = utf8.AppendRune(out, m.char)
		}
		done, begin = at, -1
	}
	for at, r := range text {
		moves := r >= 0x300 && t.of(r)&restless != 0 // characters below that never change
		if moves && begin < 0 {
			begin = last
		} else if !moves && begin >= 0 {
			flush(at)
		}
		last = at
	}
	if begin >= 0 {
		flush(len(text))
	}
	if out == nil {
		return text
	}
	return string(append(out, text[done:]...))
}

// decompose appends a text's canonical decomposition, with combining marks in canonical order.
func (u *unicode) decompose(out []mark, text string) []mark {
	start := len(out) // where the marks behind the last starter begin
	for _, r := range text {
		before := len(out)
		out = u.appendParts(out, r)
		for i := before; i < len(out); i++ {
			if out[i].order == 0 {
				sortMarks(out[start:i])
				start = i + 1
			}
		}
	}
	sortMarks(out[start:])
	return out
}

func sortMarks(marks []mark) {
	slices.SortStableFunc(marks, func(a, b mark) int { return int(a.order) - int(b.order) })
}

// appendParts appends the canonical decomposition of one character.
func (u *unicode) appendParts(out []mark, r rune) []mark {
	if n := r - firstSyllable; n >= 0 && n < leads*vowels*trails {
		out = append(out, mark{firstLead + n/(vowels*trails), 0}, mark{firstVowel + n/trails%vowels, 0})
		if n%trails > 0 {
			out = append(out, mark{firstTrail + n%trails, 0})
		}
		return out
	}
	parts := u.parts[r]
	if parts == nil {
		return append(out, mark{r, u.orders[r]})
	}
	for _, part := range parts {
		out = u.appendParts(out, part)
	}
	return out
}

// compose joins, in place, each mark with the starter that it belongs to, if the two compose and no mark of the same or a
// higher class stands between them.
func (u *unicode) compose(marks []mark) []mark {
	out := marks[:0]
	starter := -1
	for _, m := range marks {
		if starter >= 0 && (len(out)-1 == starter || out[len(out)-1].order < m.order) {
			if joined := u.joined(out[starter].char, m.char); joined != 0 {
				out[starter].char = joined
				continue
			}
		}
		if m.order == 0 {
			starter = len(out)
		}
		out = append(out, m)
	}
	return out
}

// joined returns the character that two characters compose to, or 0 if they do not.
func (u *unicode) joined(a, b rune) rune {
	if lead, vowel := a-firstLead, b-firstVowel; lead >= 0 && lead < leads && vowel >= 0 && vowel < vowels {
		return firstSyllable + (lead*vowels+vowel)*trails
	}
	syllable, trail := a-firstSyllable, b-firstTrail
	if syllable >= 0 && syllable < leads*vowels*trails && syllable%trails == 0 && trail > 0 && trail < trails {
		return a + trail
	}
	return u.pairs[[2]rune{a, b}]
}
