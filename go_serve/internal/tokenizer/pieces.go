package tokenizer

import (
	"cmp"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
)

// noMerge is the rank of a piece that merging never forms. No score has it.
const noMerge = math.MinInt32

// pieceTable finds the id of a piece by its bytes or by the hashes of its halves.
//
// The hash of a text is the sum of (byte + 1) * base^(number of bytes behind it), modulo 2^64, so that the hash of a
// concatenation follows from those of its parts without reading them again. The base is random at every start, so nobody can
// prepare pieces that collide.
type pieceTable struct {
	pieces  []string
	ranks   []int32 // by id: an integer that orders as the score does; noMerge where merging must not form the piece
	longest int     // bytes of the longest piece that has a rank

	base   uint64
	powers []uint64 // base^i, for i up to longest
	slots  []slot   // open addressing, at most half full
	shift  uint8    // 64 - log2(len(slots))
}

// slot holds a piece's id + 1; 0 is a free slot.
type slot struct {
	tag uint32 // other bits of the hash than those that chose the slot
	id  int32
}

func newPieceTable(pieces []string) *pieceTable {
	size := max(3, bits.Len(uint(2*len(pieces))))
	return &pieceTable{
		pieces: pieces,
		ranks:  make([]int32, len(pieces)),
		base:   rand.Uint64() | 1,
		slots:  make([]slot, 1<<size),
		shift:  uint8(64 - size),
	}
}

// add enters a piece and reports whether it was not there before.
func (p *pieceTable) add(id int32) bool {
	piece := p.pieces[id]
	at, tag := p.place(hashOf(p.base, piece))
	for p.slots[at].id != 0 {
		if p.slots[at].tag == tag && p.pieces[p.slots[at].id-1] == piece {
			return false
		}
		at = (at + 1) & (len(p.slots) - 1)
	}
	p.slots[at] = slot{tag, id + 1}
	return true
}

// finish computes the powers, once all ranks are known.
func (p *pieceTable) finish() {
	for id, piece := range p.pieces {
		if p.ranks[id] != noMerge {
			p.longest = max(p.longest, len(piece))
		}
	}
	p.powers = make([]uint64, p.longest+1)
	power := uint64(1)
	for i := range p.powers {
		p.powers[i] = power
		power *= p.base
	}
}

// place returns the slot where the search for a hash begins, and its tag.
func (p *pieceTable) place(hash uint64) (int, uint32) {
	mixed := hash * 0x9e3779b97f4a7c15 // the low bits of this polynomial hash are weak, the high bits of the product are not
	return int(mixed >> p.shift), uint32(mixed >> 8)
}

// find returns the id of the piece with these bytes that merging may form, or -1 if there is none.
func (p *pieceTable) find(hash uint64, text []byte) int32 {
	at, tag := p.place(hash)
	for {
		s := p.slots[at]
		if s.id == 0 {
			return -1
		}
		if id := s.id - 1; s.tag == tag && p.pieces[id] == string(text) {
			if p.ranks[id] == noMerge {
				return -1
			}
			return id
		}
		at = (at + 1) & (len(p.slots) - 1)
	}
}

// findJoined is find for a text of two parts that have these hashes; rightBytes is the length of the right part.
func (p *pieceTable) findJoined(left, right uint64, rightBytes int, text []byte) int32 {
	if len(text) > p.longest {
		return -1
	}
	return p.find(left*p.powers[rightBytes]+right, text)
}

func hashOf[T string | []byte](base uint64, text T) (hash uint64) {
	for i := range len(text) {
		hash = hash*base + uint64(text[i]) + 1
	}
	return hash
}

// rank returns an integer that orders scores as SentencePiece does: like the numbers, but -0 below +0.
func rank(score float32) int32 {
	bits := int32(math.Float32bits(score))
	if bits < 0 {
		bits ^= math.MaxInt32
	}
	return bits
}

// places returns the position of every piece's score among all different scores, the highest first, and their number.
func (p *pieceTable) places() ([]int32, int) {
	order := make([]int32, 0, len(p.ranks))
	for id, rank := range p.ranks {
		if rank != noMerge {
			order = append(order, int32(id))
		}
	}
	slices.SortFunc(order, func(a, b int32) int { return cmp.Compare(p.ranks[b], p.ranks[a]) })
	places, count := make([]int32, len(p.ranks)), 0
	for i, id := range order {
		if i == 0 || p.ranks[id] != p.ranks[order[i-1]] {
			count++
		}
		places[id] = int32(count - 1)
	}
	return places, count
}
