package tokenizer

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
)

// charsmap is SentencePiece's compiled table of replacements: a trie (a Darts double array) over the input bytes, whose values
// point at NUL-terminated strings.
type charsmap struct {
	units        []uint32
	replacements string
	after        [0x800]int32 // by character below U+0800: whether a rule can apply to it, see below
}

// Special values of after. Any other value is the place in units from which the next byte leads on; only a rule longer than the
// character can apply then.
const (
	noRule = -1 // no rule begins with the character
	ruleIn = -2 // a rule ends within the character: the trie must be walked
)

// maxRuleBytes bounds both sides of a rule, far above any real one, so that no table, however damaged, makes a text much longer
// or slow to read.
const maxRuleBytes = 1024

// parseCharsmap reads the table, which is: size of the trie in bytes (u32)
// trie
// replacements. Empty data gives nil.
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
	for rest := body[size:]; len(rest) > 0; {
		end := bytes.IndexByte(rest, 0)
		if end > maxRuleBytes {
			return nil, fmt.Errorf("precompiled_charsmap is damaged")
		}
		rest = rest[end+1:]
	}
	c := &charsmap{units: make([]uint32, size/4), replacements: string(body[size:])}
	for i := range c.units {
		c.units[i] = binary.LittleEndian.Uint32(body[4*i:])
	}
	for char := range c.after {
		c.after[char] = c.follow(string(rune(char)))
	}
	return c, nil
}

// follow returns what after holds for a character.
func (c *charsmap) follow(char string) int32 {
	at := childrenOf(c.units[0])
	for i := range len(char) {
		next, leaf, ok := c.step(at, char[i])
		if !ok {
			return noRule
		}
		if leaf {
			return ruleIn
		}
		at = next
	}
	return int32(at)
}

// step follows one byte from the children at a place. leaf reports whether a rule ends with this byte; the rule's value is then
// the unit at next.
func (c *charsmap) step(at uint32, by byte) (next uint32, leaf, ok bool) {
	at ^= uint32(by)
	if uint64(at) >= uint64(len(c.units)) { // a damaged table may point outside itself
		return 0, false, false
	}
	unit := c.units[at]
	if unit&0x800000ff != uint32(by) {
		return 0, false, false
	}
	next = at ^ childrenOf(unit)
	return next, unit>>8&1 == 1 && uint64(next) < uint64(len(c.units)), true
}

// childrenOf returns the offset from a unit's place to its children.
func childrenOf(unit uint32) uint32 { return (unit >> 10) << ((unit & 0x200) >> 6) }

// unchanged reports whether no rule applies to a character below U+0800, after which text goes on at `at`. It looks at one byte
// only and does not walk the trie, so it may return false although no rule applies.
func (c *charsmap) unchanged(char uint32, text string, at int) bool {
	children := c.after[char]
	if children < 0 {
		return children == noRule
	}
	if at == len(text) {
		return true
	}
	_, _, ok := c.step(uint32(children), text[at])
	return !ok
}

// longest returns the replacement of the longest rule that text begins with, and the length of what it replaces; 0 if there is
// none.
func (c *charsmap) longest(text string) (replacement string, length int) {
	at := childrenOf(c.units[0])
	value := uint32(0)
	for i := range min(len(text), maxRuleBytes) {
		next, leaf, ok := c.step(at, text[i])
		if !ok {
			break
		}
		if leaf {
			value, length = c.units[next]&0x7fffffff, i+1
		}
		at = next
	}
	if uint64(value) >= uint64(len(c.replacements)) {
		return "", 0
	}
	replacement, _, _ = strings.Cut(c.replacements[value:], "\x00")
	return replacement, length
}
