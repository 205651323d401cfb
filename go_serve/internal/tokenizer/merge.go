package tokenizer

// pair is two neighbouring symbols whose concatenation is a piece.
type pair struct {
	rank        int32 // of the concatenation's score
	left, right int32 // indices of symbols
	size        int32 // bytes of both when it was pushed: when they differ now, the pair is stale
}

// before is the order of merging: the highest score, then the leftmost.
func (a pair) before(b pair) bool {
	return a.rank > b.rank || (a.rank == b.rank && a.left < b.left)
}

// agenda is a binary heap of pairs, the first to merge on top.
type agenda []pair

func (a *agenda) push(p pair) {
	h := append(*a, p)
	i := len(h) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !p.before(h[parent]) {
			break
		}
		h[i] = h[parent]
		i = parent
	}
	h[i] = p
	*a = h
}

func (a *agenda) pop() pair {
	h := *a
	top, last := h[0], h[len(h)-1]
	h = h[:len(h)-1]
	*a = h
	for i := 0; ; {
		child := 2*i + 1
		if child >= len(h) {
			if len(h) > 0 {
				h[i] = last
			}
			return top
		}
		if child+1 < len(h) && h[child+1].before(h[child]) {
			child++
		}
		if !h[child].before(last) {
			h[i] = last
			return top
		}
		h[i] = h[child]
		i = child
	}
}

// symbol is a stretch of the text, linked to its neighbours. One that was merged into its left neighbour is empty.
type symbol struct {
	start, end int32 // bytes
	prev, next int32 // indices of symbols, -1 at the ends
	frozen     bool  // a user-defined symbol: never merged
}

// merger is one run of byte-pair encoding over a normalised text.
type merger struct {
	t       *Tokenizer
	text    string
	symbols []symbol
	agenda  agenda
	halves  map[string][2]string // what an unused piece was last seen to be made of
}

// split cuts the text into user-defined symbols (the longest at each place) and characters.
func (m *merger) split() {
	m.symbols = make([]symbol, 0, len(m.text))
	for at := 0; at < len(m.text); {
		size := m.t.symbols.match(m.text[at:])
		frozen := size > 0
		if !frozen {
			size = min(charLength(m.text[at]), len(m.text)-at)
		}
		i := int32(len(m.symbols))
		m.symbols = append(m.symbols, symbol{int32(at), int32(at + size), i - 1, i + 1, frozen})
		at += size
	}
	m.symbols[len(m.symbols)-1].next = -1
}

// charLength is the length of a character by its first byte, as SentencePiece counts it: never looking further.
func charLength(first byte) int {
	switch {
	case first < 0xc0:
		return 1
	case first < 0xe0:
		return 2
	case first < 0xf0:
		return 3
	}
	return 4
}

// consider pushes the pair when its concatenation is a piece.
func (m *merger) consider(left, right int32) {
	if left < 0 || right < 0 || m.symbols[left].frozen || m.symbols[right].frozen {
		return
	}
	l, r := m.symbols[left], m.symbols[right]
	if int(r.end-l.start) > m.t.longest {
		return
	}
	piece := m.text[l.start:r.end]
	id, ok := m.t.pieces[piece]
	if !ok {
		return
	}
	m.agenda.push(pair{m.t.ranks[id], left, right, r.end - l.start})
	if m.t.vocab.Types[id] == unused {
		if m.halves == nil {
			m.halves = make(map[string][2]string)
		}
		m.halves[piece] = [2]string{m.text[l.start:l.end], m.text[r.start:r.end]}
	}
}

// merge joins pairs, best first, until none is left. Each merge pushes at most two new pairs, so the heap sees at most
// three pairs per symbol.
func (m *merger) merge() {
	for i := 1; i < len(m.symbols); i++ {
		m.consider(int32(i-1), int32(i))
	}
	for len(m.agenda) > 0 {
		top := m.agenda.pop()
		l, r := &m.symbols[top.left], &m.symbols[top.right]
		if l.start == l.end || r.start == r.end || r.end-l.start != top.size {
			continue // stale: one of them was merged with another symbol since
		}
		l.end, l.next = r.end, r.next
		if r.next >= 0 {
			m.symbols[r.next].prev = top.left
		}
		r.end = r.start
		m.consider(l.prev, top.left)
		m.consider(top.left, l.next)
	}
}

// ids reads the result off the remaining symbols.
func (m *merger) ids() []int {
	out := output{t: m.t, ids: make([]int, 0, len(m.text)/3+1)}
	for i := int32(0); i >= 0; i = m.symbols[i].next {
		m.resegment(&out, m.text[m.symbols[i].start:m.symbols[i].end], 0)
	}
	return out.ids
}

// maxResegmentDepth is SentencePiece's: beyond it an unused piece stays whole.
const maxResegmentDepth = 100

// resegment writes a piece's id. One marked unused is split again the way it was merged; one that was never merged is
// unknown.
func (m *merger) resegment(out *output, piece string, depth int) {
	id, known := m.t.pieces[piece]
	if known && m.t.vocab.Types[id] == unused && depth <= maxResegmentDepth {
		if parts, ok := m.halves[piece]; ok {
			m.resegment(out, parts[0], depth+1)
			m.resegment(out, parts[1], depth+1)
			return
		}
		known = false
	}
	if known {
		out.known(int(id))
	} else {
		out.unknown(piece)
	}
}

// output collects ids.
type output struct {
	t            *Tokenizer
	ids          []int
	afterUnknown bool
}

func (o *output) known(id int) {
	o.ids = append(o.ids, id)
	o.afterUnknown = false
}

// unknown writes a piece that has no id: its bytes where there are byte pieces; else neighbouring unknowns become one.
func (o *output) unknown(piece string) {
	switch {
	case o.t.vocab.ByteFallback:
		for i := range len(piece) {
			o.ids = append(o.ids, o.t.bytes[piece[i]])
		}
	case !o.afterUnknown:
		o.ids = append(o.ids, o.t.vocab.UnkID)
	}
	o.afterUnknown = true
}
