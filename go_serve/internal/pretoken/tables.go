package pretoken

import (
	_ "embed"
	"strconv"
	"strings"
	"sync"
)

// tablesText is what tables.py writes: each line begins with the name of what it lists; characters are in hex.
//
//	letter 41-5a 61-7a      ranges of \p{L}; in the same way number, space, digit
//	pair c0=41+300          what two characters compose to, and c0 decomposes to
//	other 340=300           what a character becomes for good
//	order 300-314=230       which marks stand before which: canonical combining classes, in decimals
//
//go:embed tables.txt
var tablesText string

// kind says what a character is for a pattern. Every character but the end of the text has exactly one.
type kind uint8

const (
	other kind = iota
	letter
	number
	newline // \r and \n
	blank   // white space that is no newline
	end     // of the text

	kindBits = 7
	digit    = 1 << 3 // a flag: one of the digits that are taken one by one
	restless = 1 << 4 // a flag: NFC may change it, or what stands before it
)

// unicode holds what the tables say.
type unicode struct {
	kinds  []uint8          // by character: its kind and flags; characters past the end are of kind other
	pairs  map[[2]rune]rune // two characters -> what they compose to
	parts  map[rune][]rune  // what a character decomposes to; the first part may decompose further
	orders map[rune]uint8   // canonical combining classes, where not 0
}

// tables parses tablesText when the first tokenizer needs it: most programs have no tokenizer of this kind.
var tables = sync.OnceValue(func() *unicode {
	u := &unicode{pairs: map[[2]rune]rune{}, parts: map[rune][]rune{}, orders: map[rune]uint8{}}
	for line := range strings.Lines(tablesText) {
		words := strings.Fields(line)
		for _, word := range words[1:] {
			switch left, right, _ := strings.Cut(word, "="); words[0] {
			case "letter":
				u.each(left, func(r rune) { u.mark(r, uint8(letter)) })
			case "number":
				u.each(left, func(r rune) { u.mark(r, uint8(number)) })
			case "space":
				u.each(left, func(r rune) { u.mark(r, uint8(blank)) })
			case "digit":
				u.each(left, func(r rune) { u.mark(r, digit) })
			case "pair", "other":
				u.decomposes(code(left), strings.Split(right, "+"), words[0] == "pair")
			case "order":
				order, _ := strconv.ParseUint(right, 10, 8)
				u.each(left, func(r rune) { u.orders[r] = uint8(order); u.mark(r, restless) })
			}
		}
	}
	u.kinds['\r'], u.kinds['\n'] = uint8(newline), uint8(newline)
	for r := rune(firstVowel); r < firstTrail+trails; r++ { // vowels and trails join the syllable before them
		u.mark(r, restless)
	}
	return u
})

func code(hex string) rune {
	r, _ := strconv.ParseUint(hex, 16, 21)
	return rune(r)
}

// each passes the characters of a range to use.
func (u *unicode) each(span string, use func(rune)) {
	first, last, found := strings.Cut(span, "-")
	if !found {
		last = first
	}
	for r := code(first); r <= code(last); r++ {
		use(r)
	}
}

func (u *unicode) mark(r rune, bits uint8) {
	for int(r) >= len(u.kinds) {
		u.kinds = append(u.kinds, make([]uint8, 1<<12)...)
	}
	u.kinds[r] |= bits
}

// decomposes records what a character decomposes to and, with pair, that these two compose to it again.
func (u *unicode) decomposes(r rune, parts []string, pair bool) {
	for _, part := range parts {
		u.parts[r] = append(u.parts[r], code(part))
	}
	if pair {
		u.pairs[[2]rune(u.parts[r])] = r
		u.mark(u.parts[r][1], restless)
	} else {
		u.mark(r, restless)
	}
}

// of returns the kind and the flags of a character.
func (u *unicode) of(r rune) uint8 {
	if int(r) < len(u.kinds) {
		return u.kinds[r]
	}
	return uint8(other)
}
