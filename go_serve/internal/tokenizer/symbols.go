package tokenizer

import "math/bits"

// symbolSet finds the longest user-defined piece at the start of a text. It is a trie whose edges are in one hash table.
type symbolSet struct {
	begins [256]bool // whether a piece begins with this byte
	ids    []int32   // by node, the root being 0: the id of the piece that ends there, or -1
	edges  []edge    // open addressing, at most half full
	used   int
}

// edge leads from the node `from` by a byte to the node `to`; to = 0, the root, marks a free place.
type edge struct {
	from int32
	by   byte
	to   int32
}

func (s *symbolSet) add(piece string, id int32) {
	if s.ids == nil {
		s.ids = []int32{-1}
		s.edges = make([]edge, 16)
	}
	s.begins[piece[0]] = true
	node := int32(0)
	for i := range len(piece) {
		at := s.place(node, piece[i])
		if s.edges[at].to == 0 {
			s.edges[at] = edge{node, piece[i], int32(len(s.ids))}
			s.ids = append(s.ids, -1)
			if s.used++; 2*s.used > len(s.edges) {
				node = s.edges[at].to
				s.grow()
				continue
			}
		}
		node = s.edges[at].to
	}
	s.ids[node] = id
}

func (s *symbolSet) grow() {
	old := s.edges
	s.edges = make([]edge, 2*len(old))
	for _, e := range old {
		if e.to != 0 {
			s.edges[s.place(e.from, e.by)] = e
		}
	}
}

// place returns the place of an edge, or the free place where it would be.
func (s *symbolSet) place(from int32, by byte) int {
	hash := (uint64(from)<<8 | uint64(by)) * 0x9e3779b97f4a7c15
	at := int(hash >> (64 - bits.TrailingZeros(uint(len(s.edges)))))
	for s.edges[at].to != 0 && (s.edges[at].from != from || s.edges[at].by != by) {
		at = (at + 1) & (len(s.edges) - 1)
	}
	return at
}

// longestSymbol returns the id and the length of the longest piece that text begins with; the length is 0 if there is none.
// Callers look at begins first, as few bytes begin a piece.
func longestSymbol[T string | []byte](s *symbolSet, text T) (id int32, size int) {
	node := int32(0)
	for i := range len(text) {
		node = s.edges[s.place(node, text[i])].to
		if node == 0 {
			break
		}
		if s.ids[node] >= 0 {
			id, size = s.ids[node], i+1
		}
	}
	return id, size
}
