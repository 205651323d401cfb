package tokenizer

import (
	"encoding/binary"
	"math/bits"
)

// The cache remembers the ids of chunks, which are mostly words. It forgets on its own: there are two places for a chunk, and a
// new entry moves an older one to the other place, which loses what was there. It starts small, because a chat sees few words,
// and grows up to a megabyte.
const (
	cacheKeyBytes = 36
	cacheIDs      = 6
	minCacheSize  = 1 << 8 // entries; a power of two
	maxCacheSize  = 1 << 14
)

// entry has the size of a line of a processor's cache, 64 bytes.
type entry struct {
	key  [cacheKeyBytes]byte
	size uint8 // bytes of the key; 0: free
	n    uint8 // the number of ids
	_    uint16
	ids  [cacheIDs]int32
}

type cache struct {
	entries []entry
	added   int // how many entries were added since the cache last grew
}

// find returns the ids of a chunk of 1..cacheKeyBytes bytes, or nil if the cache does not know them.
func (c *cache) find(hash uint64, chunk []byte) []int32 {
	if len(c.entries) == 0 {
		return nil
	}
	at := c.place(hash)
	for range 2 {
		if e := &c.entries[at]; int(e.size) == len(chunk) && string(e.key[:len(chunk)]) == string(chunk) {
			return e.ids[:e.n]
		}
		at ^= 1
	}
	return nil
}

// add remembers a chunk that find does not know.
func (c *cache) add(hash uint64, chunk []byte, ids []int32) {
	if len(ids) > cacheIDs {
		return
	}
	if c.added++; c.added > len(c.entries)/2 && len(c.entries) < maxCacheSize {
		c.grow()
	}
	at := c.place(hash)
	if c.entries[at].size != 0 {
		c.entries[at^1] = c.entries[at]
	}
	e := &c.entries[at]
	copy(e.key[:], chunk)
	copy(e.ids[:], ids)
	e.size, e.n = uint8(len(chunk)), uint8(len(ids))
}

func (c *cache) grow() {
	old := c.entries
	c.entries = make([]entry, max(minCacheSize, 2*len(old)))
	c.added = 0
	for i := range old {
		if e := &old[i]; e.size != 0 {
			c.add(cacheHash(e.key[:e.size]), e.key[:e.size], e.ids[:e.n])
		}
	}
	c.added = 0
}

func (c *cache) place(hash uint64) int {
	return int(hash >> (64 - bits.TrailingZeros(uint(len(c.entries)))))
}

// cacheHash hashes a chunk of at least one byte, eight bytes at a time. It need not resist an attacker: an entry holds its
// whole key, and only two entries are compared.
func cacheHash(chunk []byte) uint64 {
	const odd = 0x9e3779b97f4a7c15
	hash := uint64(len(chunk))
	if len(chunk) < 8 {
		for _, b := range chunk {
			hash = hash<<8 | uint64(b)
		}
		return hash * odd
	}
	last := binary.LittleEndian.Uint64(chunk[len(chunk)-8:])
	for ; len(chunk) > 8; chunk = chunk[8:] {
		hash = (hash ^ binary.LittleEndian.Uint64(chunk)) * odd
		hash ^= hash >> 29
	}
	return (hash ^ last) * odd
}
