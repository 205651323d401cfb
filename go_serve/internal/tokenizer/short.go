package tokenizer

// maxShort is the size, in bytes, of the largest chunk in which searching all pairs for the best one is faster than a queue.
const maxShort = 64

// shortMerger runs byte-pair encoding over a chunk of at most maxShort bytes.
type shortMerger struct {
	t       *Tokenizer
	text    []byte
	symbols []shortSymbol
	ranks   []int32 // by symbol: the rank of the piece that it makes with the next one
	room    [maxShort]shortSymbol
	roomFor [maxShort]int32
}

type shortSymbol struct {
	hash       uint64
	start, end uint8 // bytes of the chunk
	id         int32 // -1: no piece
	joined     int32 // the piece that it makes with the next one, if that has a rank
}

func (m *shortMerger) merge(t *Tokenizer, text []byte) {
	m.t, m.text = t, text
	m.symbols, m.ranks = m.room[:0], m.roomFor[:0]
	for at := 0; at < len(text); {
		end := min(at+charLength(text[at]), len(text))
		char := text[at:end]
		m.symbols = append(m.symbols, shortSymbol{hashOf(t.table.base, char), uint8(at), uint8(end), t.charID(char), 0})
		m.ranks = append(m.ranks, noMerge)
		at = end
	}
	for i := range m.symbols {
		m.consider(i)
	}
	for {
		best, rank := 0, int32(noMerge)
		for i, r := range m.ranks {
			if r > rank { // of equal ranks the leftmost
				best, rank = i, r
			}
		}
		if rank == noMerge {
			return
		}
		l, r := &m.symbols[best], &m.symbols[best+1]
		l.hash = l.hash*t.table.powers[r.end-r.start] + r.hash
		l.end, l.id = r.end, l.joined
		m.symbols = append(m.symbols[:best+1], m.symbols[best+2:]...)
		m.ranks = append(m.ranks[:best+1], m.ranks[best+2:]...)
		m.consider(best)
		if best > 0 {
			m.consider(best - 1)
		}
	}
}

// consider records which piece a symbol makes with the next one.
func (m *shortMerger) consider(i int) {
	m.ranks[i] = noMerge
	if i+1 == len(m.symbols) {
		return
	}
	l, r := &m.symbols[i], &m.symbols[i+1]
	l.joined = m.t.table.findJoined(l.hash, r.hash, int(r.end-r.start), m.text[l.start:r.end])
	if l.joined >= 0 {
		m.ranks[i] = m.t.table.ranks[l.joined]
	}
}

// ids appends the resulting ids.
func (m *shortMerger) ids(ids []int32) []int32 {
	first := len(ids)
	for _, s := range m.symbols {
		if s.id >= 0 {
			ids = append(ids, s.id)
		} else {
			ids = m.t.appendUnknown(ids, first, m.text[s.start:s.end])
		}
	}
	return ids
}
