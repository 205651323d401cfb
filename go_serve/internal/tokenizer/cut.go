package tokenizer

import (
	"encoding/binary"
	"math/bits"
)

// padding is how many zero bytes follow a normalised text in memory, so that a character is one read of four bytes.
const padding = 4

var zeros [padding]byte

// charLength returns the length of a character by its first byte alone, as SentencePiece counts it.
func charLength(first byte) int {
	return int(charLengths[first])
}

var charLengths = func() (lengths [256]uint8) {
	for b := range lengths {
		switch {
		case b < 0xc0:
			lengths[b] = 1
		case b < 0xe0:
			lengths[b] = 2
		case b < 0xf0:
			lengths[b] = 3
		default:
			lengths[b] = 4
		}
	}
	return lengths
}()

// charAt returns the bytes of the character at a place of a padded text, as one number, and how many they are.
func charAt(padded []byte, at int) (char uint32, size int) {
	four := binary.LittleEndian.Uint32(padded[at:])
	size = charLength(byte(four))
	return four & (1<<(8*size) - 1), size
}

// joins tells where a text may be cut without changing its ids: if no piece that merging forms holds two characters side by
// side, no merge can span the place between them. It holds one bit per hash of a pair of characters; a collision only means one
// cut fewer.
type joins struct {
	bits  []uint64
	shift uint8
}

// newJoins makes a table for that many pieces.
func newJoins(pieces int) joins {
	size := min(max(10, bits.Len(uint(16*pieces))), 20)
	return joins{make([]uint64, 1<<size/64), uint8(64 - size)}
}

func (j *joins) place(first, second uint32) uint64 {
	return (uint64(first)<<32 | uint64(second)) * 0x9e3779b97f4a7c15 >> j.shift
}

// add records the pairs of neighbouring characters in a piece.
func (j *joins) add(piece string) {
	var before uint32
	for at := 0; at < len(piece); {
		char := uint32(piece[at])
		size := min(charLength(piece[at]), len(piece)-at)
		for i := 1; i < size; i++ {
			char |= uint32(piece[at+i]) << (8 * i)
		}
		if at > 0 {
			place := j.place(before, char)
			j.bits[place/64] |= 1 << (place % 64)
		}
		before = char
		at += size
	}
}

// has reports whether a piece may hold the two characters side by side.
func (j *joins) has(first, second uint32) bool {
	place := j.place(first, second)
	return j.bits[place/64]>>(place%64)&1 == 1
}
