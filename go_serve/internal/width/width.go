// Package width knows how text appears in a terminal: which code points make one character for a person (a grapheme cluster),
// and how many columns it takes. It draws nothing.
package width

import (
	"slices"
	"unicode"
)

// class is what a code point does to its neighbours in a grapheme cluster (UAX #29, without the rules for Indic scripts).
type class int

const (
	other   class = iota
	extend        // joins what stands before it
	joiner        // zero-width joiner: an extend that joins a pictograph after it too
	flag          // regional indicator: two make a flag
	picture       // pictograph
	lead          // Hangul: jamo that build one syllable, and whole syllables
	vowel
	syllable
	trailing
)

const (
	zeroWidthJoiner = 0x200d
	emojiStyle      = 0xfe0f // variation selector 16: drawn as a picture, two columns wide
)

func classOf(r rune) class {
	switch {
	case r < 0x300:
		return other
	case r == zeroWidthJoiner:
		return joiner
	case r >= 0x1f3fb && r <= 0x1f3ff, r >= 0xe0020 && r <= 0xe007f, r == 0x200c: // skin tones, tags
		return extend
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Mc):
		return extend
	case r >= 0x1f1e6 && r <= 0x1f1ff:
		return flag
	case r >= 0x1f000 && r <= 0x1fbff, r >= 0x2190 && r <= 0x2bff:
		return picture
	case r >= 0x1100 && r <= 0x115f, r >= 0xa960 && r <= 0xa97c:
		return lead
	case r >= 0x1160 && r <= 0x11a7, r >= 0xd7b0 && r <= 0xd7c6:
		return vowel
	case r >= 0xac00 && r <= 0xd7a3:
		return syllable
	case r >= 0x11a8 && r <= 0x11ff, r >= 0xd7cb && r <= 0xd7fb:
		return trailing
	}
	return other
}

// Next returns where the cluster ends that begins at i.
func Next(text []rune, i int) int {
	if i >= len(text) {
		return len(text)
	}
	first := classOf(text[i])
	before := first
	pictured := first == picture
	for i++; i < len(text); i++ {
		if text[i-1] == '\n' || text[i-1] == '\t' {
			return i
		}
		now := classOf(text[i])
		joins := now == extend || now == joiner ||
			before == joiner && now == picture && pictured ||
			before == lead && (now == lead || now == vowel || now == syllable) ||
			(before == vowel || before == syllable) && (now == vowel || now == trailing) ||
			before == trailing && now == trailing
		if before == flag && now == flag {
			joins, now = true, other // a third one begins the next flag
		}
		if !joins {
			return i
		}
		before = now
	}
	return i
}

// Previous returns where the cluster begins that ends at i. The beginning of a cluster is certain only at a character that
// never joins what stands before it; from there on Next finds the clusters.
func Previous(text []rune, i int) int {
	if i <= 0 {
		return 0
	}
	at := i - 1
	for at > 0 && classOf(text[at]) != other {
		at--
	}
	for {
		end := Next(text, at)
		if end >= i {
			return at
		}
		at = end
	}
}

// Settle returns the end of the cluster that i is inside of, or i if it is between clusters.
func Settle(text []rune, i int) int {
	if i <= 0 || i >= len(text) {
		return i
	}
	return Next(text, Previous(text, i))
}

// Of returns how many columns a text without newlines takes.
func Of(text []rune) (columns int) {
	for i := 0; i < len(text); {
		end := Next(text, i)
		columns += OfCluster(text[i:end])
		i = end
	}
	return columns
}

// OfCluster returns how many columns a cluster takes.
func OfCluster(cluster []rune) int {
	r := cluster[0]
	switch kind := classOf(r); {
	case r == '\t':
		return Tab
	case r >= 0x1f3fb && r <= 0x1f3ff, slices.Contains(cluster, emojiStyle), slices.ContainsFunc(cluster, isWide): // skin tones alone
		return 2
	case kind == flag:
		return min(2, len(cluster))
	case kind == extend || kind == joiner || unicode.Is(unicode.Cf, r):
		return 0
	}
	return 1
}

// Tab is the width of a tab in columns, wherever in a line it begins.
const Tab = 4

func isWide(r rune) bool {
	if r < wide[0][0] {
		return false
	}
	_, found := slices.BinarySearchFunc(wide, r, func(part [2]rune, r rune) int {
		switch {
		case part[1] < r:
			return -1
		case part[0] > r:
			return 1
		}
		return 0
	})
	return found
}

// Agreed reports whether every terminal gives a cluster the same width. Terminals differ about emoji and joined characters, so
// the cursor has to be put in its place explicitly after these.
func Agreed(cluster []rune) bool {
	r := cluster[0]
	if len(cluster) > 1 || r >= 0x300 && classOf(r) == extend || unicode.Is(unicode.Cf, r) {
		return false
	}
	return r < 0x1100 || r >= 0x2010 && r < 0x2100 || r >= 0x2e80 && r < 0xd7a4 || r >= 0xff00 && r < 0xfff0
}
