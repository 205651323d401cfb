package model

import (
	"math"
	"slices"

	"minitron/internal/kernel"
)

// attention is softmax(q·kᵀ)·v over all tokens so far. A row holds the queries, keys and values of a token.
type attention struct {
	heads, kvHeads   int           // kvHeads divides heads: a group of query heads shares keys and values
	headDim          int           // h
	qkv              kernel.Linear // llama: [H·h][D], [K·h][D], [K·h][D]; nanogpt: the three stacked, [3D][D]
	keysAt, valuesAt int           // where keys and values begin in a row
	qNorm, kNorm     norm          // applied to each head by itself; nil: none
	window           int           // how many tokens it sees; 0: all
	rotary           bool          // heads are rotated by their position
	o                kernel.Linear // [D][H·h]
}

func (a *attention) in() kernel.Linear  { return a.qkv }
func (a *attention) out() kernel.Linear { return a.o }
func (a *attention) width() int         { return a.heads * a.headDim }

func (a *attention) newMemory(positions int, w *workspace) memory {
	m := &attentionMemory{attention: a, workspace: w, cache: a.newCache(positions)}
	if len(w.scratch) == 0 { // enough for every layer: they all have the same heads
		for range w.pool.Threads() {
			w.scratch = append(w.scratch, m.cache.NewScratch())
		}
	}
	if a.window > 0 {
		return &windowMemory{m}
	}
	return m
}

func (a *attention) newCache(positions int) *kernel.Cache {
	if a.window > 0 {
		return kernel.NewWindow(a.kvHeads, a.headDim, a.window, min(positions, blockTokens))
	}
	return kernel.NewCache(a.kvHeads, a.headDim, positions)
}

func (a *attention) memoryBytes(positions int) (kept, spare int64) {
	if a.window > 0 {
		return kernel.WindowBytes(a.kvHeads, a.headDim, a.window, min(positions, blockTokens)), 0
	}
	return kernel.CacheBytes(a.kvHeads, a.headDim, positions), 0
}

// windowMemory is the KV cache of a layer that sees a window: older positions are overwritten.
type windowMemory struct{ *attentionMemory }

func (m *windowMemory) copied() any { return m.cache.Keep(m.start + m.tokens) }

// restore has nothing to clear for an empty sequence, as no position is seen before it is written.
func (m *windowMemory) restore(kept any) {
	if kept != nil {
		m.cache.Restore(kept.(*kernel.Kept))
	}
}

// attentionMemory is the KV cache of one layer. When a position is read again it is written again, so going back needs neither
// copies nor clearing.
type attentionMemory struct {
	*attention
	*workspace
	cache *kernel.Cache

	// The current block.
	mixed, rows   []float32
	start, tokens int
}

func (m *attentionMemory) commit() {}

// read norms (if the model does that) and rotates queries and keys, scales the queries, and puts keys and values into the
// cache.
func (m *attentionMemory) read(rows []float32, start, tokens int) {
	m.rows, m.start, m.tokens = rows, start, tokens
	if m.rotary {
		m.rope.cover(start, tokens)
	}
	m.pool.Run((*storing)(m), tokens, 16*m.width())
}

// storing is the job that read runs. An item is a token.
type storing attentionMemory

func (s *storing) Do(worker, lo, hi int) {
	m := (*attentionMemory)(s)
	stride := m.qkv.Width()
	for t := lo; t < hi; t++ {
		row, position := m.rows[t*stride:][:stride], m.start+t
		queries, keys := row[:m.width()], row[m.keysAt:][:m.kvHeads*m.headDim]
		m.place(queries, m.qNorm, position)
		m.place(keys, m.kNorm, position)
		kernel.Scale(queries, float32(1/math.Sqrt(float64(m.headDim))))
		m.cache.Store(position, row[m.keysAt:], row[m.valuesAt:], m.scratch[worker])
	}
}

// place norms and rotates, if the model does that, the heads of one token's queries or keys.
func (m *attentionMemory) place(heads []float32, norm norm, position int) {
	for ; len(heads) > 0; heads = heads[m.headDim:] {
		head := heads[:m.headDim]
		if norm != nil {
			norm.apply(head, head)
		}
		if m.rotary {
			cos, sin := m.rope.at(position)
			kernel.Rope(head, cos, sin)
		}
	}
}

func (m *attentionMemory) mix(out, rows []float32, start, tokens int) {
	m.mixed, m.rows, m.start, m.tokens = out, rows, start, tokens
	// The cost of an item is about the bytes that it reads times its tokens.
	m.pool.Run((*attending)(m), m.heads*m.parts(), 4*(start+tokens)*m.headDim*min(tokens, kernel.Block))
}

// parts returns into how many items the tokens of a head are cut.
func (m *attentionMemory) parts() int { return (m.tokens + kernel.Block - 1) / kernel.Block }

// attending is the job that mix runs. An item is one query head for a few tokens. The items of a head follow each other, as
// they read the same keys.
type attending attentionMemory

func (a *attending) Do(worker, lo, hi int) {
	m := (*attentionMemory)(a)
	parts, group := m.parts(), m.heads/m.kvHeads
	qStride, stride := m.qkv.Width(), kernel.Padded(m.width())
	for item := lo; item < hi; item++ {
		head, t := item/parts, item%parts*kernel.Block
		out, q := m.mixed[t*stride+head*m.headDim:], m.rows[t*qStride+head*m.headDim:]
		m.cache.Attend(out, stride, q, qStride, head/group, m.start+t, min(kernel.Block, m.tokens-t), m.scratch[worker])
	}
}

// rotations is the table of rotary positions (arXiv 2104.09864). It grows with the sequence: the unused part of a context costs
// neither time nor memory. For an endless sequence it holds the current block alone.
type rotations struct {
	headDim  int
	theta    float64
	most     int       // positions; 0: without an end
	cos, sin []float32 // [positions so far, or of the block][h/2]

	// For an endless sequence:
	first       int       // the position that the table begins with
	frequencies []float64 // [h/2]
}

// cover makes the table hold that many positions from start on.
func (r *rotations) cover(start, tokens int) {
	half := r.headDim / 2
	have := len(r.cos) / half
	if r.most == 0 {
		r.block(start, tokens, have)
		return
	}
	if start+tokens <= have {
		return
	}
	cos, sin := kernel.RopeTable(have, min(max(start+tokens, 2*have), r.most), r.headDim, r.theta)
	r.cos, r.sin = append(r.cos, cos...), append(r.sin, sin...)
}

// block fills the table for the current block, unless an earlier layer did.
func (r *rotations) block(start, tokens, have int) {
	if r.frequencies == nil {
		r.frequencies = kernel.RopeFrequencies(r.headDim, r.theta)
	}
	if have >= tokens && r.first == start {
		return
	}
	size := tokens * len(r.frequencies)
	r.cos, r.sin = slices.Grow(r.cos[:0], size)[:size], slices.Grow(r.sin[:0], size)[:size]
	kernel.RopeRows(r.cos, r.sin, start, r.frequencies)
	r.first = start
}

func (r *rotations) at(position int) (cos, sin []float32) {
	half := r.headDim / 2
	at := (position - r.first) * half
	return r.cos[at:][:half], r.sin[at:][:half]
}
