package tokenizer

import "slices"

// longMerger runs byte-pair encoding over a text of any length.
type longMerger struct {
	t       *Tokenizer
	text    []byte
	symbols []symbol // the last one stands for the end
	frozen  []bool   // by symbol: whether it is user-defined, and so never merged
	agenda  agenda
	places  []int32         // by id: the place in the agenda
	halves  map[int32]int32 // by unused piece: the length of its left half when merging last found it
}

// symbol is a stretch of the text that ends where the next symbol starts.
type symbol struct {
	hash       uint64
	start      int32 // byte
	prev, next int32 // indices of symbols; prev is -1 for the first; next is -1 for the end, and for a symbol merged into its left neighbour
	id         int32 // -1: no piece
}

// merge joins pairs, the best first, until none is left. Each merge pushes at most two new pairs, so the agenda sees at most
// three pairs per symbol.
func (m *longMerger) merge(t *Tokenizer, text []byte) {
	m.t, m.text = t, text
	clear(m.halves)
	m.split()
	var places int
	m.places, places = t.places()
	m.agenda.prepare(places, len(m.symbols))
	for i := 1; i < len(m.symbols); i++ {
		m.consider(int32(i-1), int32(i))
	}
	for {
		top, ok := m.agenda.pop()
		if !ok {
			return
		}
		l := &m.symbols[top.left]
		if l.next < 0 {
			continue // stale: the left symbol was merged into its own left neighbour
		}
		r := &m.symbols[l.next]
		if r.next < 0 || m.symbols[r.next].start-l.start != top.size {
			continue // stale: one of them has grown
		}
		l.hash = l.hash*t.table.powers[m.symbols[r.next].start-r.start] + r.hash
		l.id = top.id
		m.symbols[r.next].prev = top.left
		l.next, r.next = r.next, -1
		if l.prev >= 0 {
			m.consider(l.prev, top.left)
		}
		m.consider(top.left, l.next)
	}
}

// split cuts the text into user-defined symbols (the longest at each place) and characters.
func (m *longMerger) split() {
	chars := 0
	for at := 0; at < len(m.text); at += charLength(m.text[at]) {
		chars++
	}
	m.symbols, m.frozen = slices.Grow(m.symbols[:0], chars+1), m.frozen[:0]
	for at := 0; at < len(m.text); {
		id, size := int32(-1), 0
		if m.t.symbols.begins[m.text[at]] {
			id, size = longestSymbol(&m.t.symbols, m.text[at:])
		}
		frozen := size > 0
		if !frozen {
			size = min(charLength(m.text[at]), len(m.text)-at)
			id = m.t.charID(m.text[at : at+size])
		}
		i := int32(len(m.symbols))
		hash := hashOf(m.t.table.base, m.text[at:at+size])
		m.symbols = append(m.symbols, symbol{hash, int32(at), i - 1, i + 1, id})
		if m.t.unusedPieces { // otherwise user-defined symbols were cut out before
			m.frozen = append(m.frozen, frozen)
		}
		at += size
	}
	m.symbols = append(m.symbols, symbol{start: int32(len(m.text)), prev: int32(len(m.symbols)) - 1, next: -1})
}

// consider pushes the pair if its concatenation is a piece.
func (m *longMerger) consider(left, right int32) {
	l, r := &m.symbols[left], &m.symbols[right]
	if r.next < 0 { // the end
		return
	}
	if len(m.frozen) > 0 && (m.frozen[left] || m.frozen[right]) {
		return
	}
	end := m.symbols[r.next].start
	id := m.t.table.findJoined(l.hash, r.hash, int(end-r.start), m.text[l.start:end])
	if id < 0 {
		return
	}
	m.agenda.push(m.places[id], pair{left, end - l.start, id})
	if m.t.vocab.Types[id] == unused {
		if m.halves == nil {
			m.halves = make(map[int32]int32)
		}
		m.halves[id] = r.start - l.start
	}
}

// ids appends the resulting ids.
func (m *longMerger) ids(ids []int32) []int32 {
	first := len(ids)
	for i := int32(0); m.symbols[i].next >= 0; i = m.symbols[i].next {
		s := &m.symbols[i]
		ids = m.resegment(ids, first, m.text[s.start:m.symbols[s.next].start], s.id, 0)
	}
	return ids
}

// maxResegmentDepth is SentencePiece's limit: beyond it an unused piece stays whole.
const maxResegmentDepth = 100

// resegment appends the id of a piece. A piece marked unused is split again where merging joined it; if merging never found it,
// it is unknown.
func (m *longMerger) resegment(ids []int32, first int, piece []byte, id int32, depth int) []int32 {
	if id >= 0 && m.t.vocab.Types[id] == unused && depth <= maxResegmentDepth {
		if size, ok := m.halves[id]; ok {
			for _, part := range [][]byte{piece[:size], piece[size:]} {
				ids = m.resegment(ids, first, part, m.t.table.find(hashOf(m.t.table.base, part), part), depth+1)
			}
			return ids
		}
		id = -1
	}
	if id < 0 {
		return m.t.appendUnknown(ids, first, piece)
	}
	return append(ids, id)
}
