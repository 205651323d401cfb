package kernel

import "math"

// Cache holds one layer's keys and values in fp16, laid out as panels, so that attention is two products with the kernels that
// multiply by weights. Keys: per head [positions/16][width][16]; the rows of a panel are positions. Values: per head
// [positions][width, rounded up to panels]; the rows of a panel are elements of the head, its columns positions.
//
// With a window, a token sees that many positions, the last of which is its own. Each new position takes the place of one that
// no token sees any more.
type Cache struct {
	heads, width int
	positions    int // places
	window       int // 0: all are seen
	keys, values []byte
}

// NewCache allocates a cache for that many positions. On the usual systems memory costs nothing until it is used.
func NewCache(heads, width, positions int) *Cache {
	c := &Cache{heads: heads, width: width, positions: roundUp(positions, lanes)}
	c.keys = make([]byte, 2*heads*c.positions*width)
	c.values = make([]byte, 2*heads*c.positions*roundUp(width, lanes))
	return c
}

// NewWindow allocates a cache for the positions of a window, and for those of a block of tokens, which are stored before any of
// them attends.
func NewWindow(heads, width, window, block int) *Cache {
	c := NewCache(heads, width, window+block)
	c.window = window
	return c
}

// Kept is a copy of what a cache held of the positions before some end.
type Kept struct {
	places       int
	keys, values []byte // of all heads
}

// Keep copies what the cache holds of the positions before end, which must have been stored.
func (c *Cache) Keep(end int) *Kept {
	k := &Kept{places: min(roundUp(end, lanes), c.positions)}
	for head := range c.heads {
		keys, values := c.of(head, k.places)
		k.keys, k.values = append(k.keys, keys...), append(k.values, values...)
	}
	return k
}

// Restore puts what was kept back into the cache, or into another of the same size.
func (c *Cache) Restore(k *Kept) {
	keysBehind, valuesBehind := k.keys, k.values
	for head := range c.heads {
		keys, values := c.of(head, k.places)
		keysBehind = keysBehind[copy(keys, keysBehind):]
		valuesBehind = valuesBehind[copy(values, valuesBehind):]
	}
}

// of returns the keys and values of a head in the first places of the cache; places is a multiple of lanes.
func (c *Cache) of(head, places int) (keys, values []byte) {
	keyBytes := 2 * c.width
	return c.keys[head*c.positions*keyBytes:][:places*keyBytes], c.values[head*c.positions*c.valueBytes():][:places*c.valueBytes()]
}

// WindowBytes returns the size in bytes of what NewWindow allocates.
func WindowBytes(heads, width, window, block int) int64 {
	return CacheBytes(heads, width, window+block)
}

// CacheBytes returns the size in bytes of what NewCache allocates.
func CacheBytes(heads, width, positions int) int64 {
	return 2 * int64(heads) * int64(roundUp(positions, lanes)) * int64(width+roundUp(width, lanes))
}

func roundUp(n, multiple int) int { return (n + multiple - 1) / multiple * multiple }

// Scratch is the memory that one worker needs for Store and Attend.
type Scratch struct {
	halves []byte    // one token's keys or values
	scores []float32 // [Block][scoreStride]
	mixed  []float32 // [Block][width, rounded up]
}

// NewScratch makes a worker's scratch memory for caches like c.
func (c *Cache) NewScratch() *Scratch {
	return &Scratch{
		halves: make([]byte, 2*roundUp(c.heads*c.width, groupSize)),
		scores: make([]float32, Block*c.scoreStride()),
		mixed:  make([]float32, Block*roundUp(c.width, lanes)),
	}
}

// scoreStride is a cache line longer than a row of scores, so that the rows of a block do not fall into the same cache sets.
func (c *Cache) scoreStride() int { return c.positions + lanes }

// Store writes one position's keys and values, each [heads·width] and readable up to the next multiple of 16. Calls for
// different positions may run at once.
func (c *Cache) Store(position int, keys, values []float32, s *Scratch) {
	position = c.place(position)
	size := roundUp(c.heads*c.width, lanes)
	active.halves(s.halves, keys[:size])
	panelBytes := 2 * lanes * c.width
	for head := range c.heads {
		panel := c.keys[(head*c.positions/lanes+position/lanes)*panelBytes:][:panelBytes]
		row := s.halves[2*head*c.width:][:2*c.width]
		for at := 2 * (position % lanes); len(row) > 0; at, row = at+2*lanes, row[2:] {
			panel[at], panel[at+1] = row[0], row[1]
		}
	}
	active.halves(s.halves, values[:size])
	for head := range c.heads {
		copy(c.values[(head*c.positions+position)*c.valueBytes():], s.halves[2*head*c.width:][:2*c.width])
	}
}

// place returns the place where a position is stored.
func (c *Cache) place(position int) int {
	if c.window > 0 {
		return position % c.positions
	}
	return position
}

// hide sets the scores of the places that the token at a position does not see to -infinity; the positions before end are
// stored. With a window, positions that are too old are hidden as well. A place whose position would be end or later still
// counts as the old position that it held one round before.
func (c *Cache) hide(scores []float32, position, end int) {
	low := float32(math.Inf(-1))
	if c.window == 0 {
		for i := position + 1; i < len(scores); i++ {
			scores[i] = low
		}
		return
	}
	round := (end - 1) / c.positions * c.positions // places up to that of end-1 are of this round, the others of the one before
	for i := range scores {
		there := round + i
		if there >= end {
			there -= c.positions
		}
		if there > position || there <= position-c.window || there < 0 {
			scores[i] = low
		}
	}
}

// valueBytes returns the size of one position's values of one head.
func (c *Cache) valueBytes() int { return 2 * roundUp(c.width, lanes) }

// Attend writes softmax(q·keys)·values to out for one query head that uses the keys and values of head, and for tokens (at most
// Block) whose positions begin at start. The rows of q and of out begin qStride and outStride apart. q is already scaled, and
// readable to a multiple of Block rows.
func (c *Cache) Attend(out []float32, outStride int, q []float32, qStride, head, start, tokens int, s *Scratch) {
	seen := start + tokens // places
	if c.window > 0 {
		seen = min(seen, c.positions)
	}
	keyPanels, valuePanels := roundUp(seen, lanes)/lanes, roundUp(c.width, lanes)/lanes
	keyBytes, step := 2*lanes*c.width, c.valueBytes()
	keys := c.keys[head*c.positions/lanes*keyBytes:][:keyPanels*keyBytes]
	values := c.values[head*c.positions*step:][:seen*step]
	scoreStride, mixedStride := c.scoreStride(), lanes*valuePanels

	if tokens == 1 {
		active.unfused(s.scores[:lanes*keyPanels], q[:c.width], keys, keyBytes, 2*lanes)
	} else {
		for t := 0; t < tokens; t += active.block {
			for p := range keyPanels {
				active.unfusedBlock(s.scores[t*scoreStride+lanes*p:], scoreStride, q[t*qStride:], qStride, keys[p*keyBytes:][:keyBytes], 2*lanes)
			}
		}
	}
	for t := range tokens {
		row := s.scores[t*scoreStride:][:lanes*keyPanels]
		c.hide(row, start+t, start+tokens)
		active.softmax(row)
	}
	if tokens == 1 {
		active.unfused(s.mixed[:mixedStride], s.scores[:seen], values, 2*lanes, step)
	} else {
		for t := 0; t < tokens; t += active.block {
			for p := range valuePanels {
				panel := values[2*lanes*p:][:(seen-1)*step+2*lanes]
				active.unfusedBlock(s.mixed[t*mixedStride+lanes*p:], mixedStride, s.scores[t*scoreStride:], scoreStride, panel, step)
			}
		}
	}
	for t := range tokens {
		copy(out[t*outStride:][:c.width], s.mixed[t*mixedStride:])
	}
}
