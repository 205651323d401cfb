package model

import (
	"math"
	"slices"

	"minitron/internal/kernel"
)

// gatedDelta is the gated delta rule (arXiv 2412.06464): S = a·S·(I - b·k·kᵀ) + b·v·kᵀ, read with o = S·q. A row holds the
// queries, keys, values and gates of all heads of a token, and the inputs of the functions that give a (forgetting) and b
// (writing).
type gatedDelta struct {
	heads, headDim int           // h
	proj           kernel.Linear // [4·H·h][D] queries, keys, values, gates; [2·H][D] for a and b
	abAt           int           // where the inputs of a and b begin in a row
	conv           convolution   // over queries, keys and values
	rate, shift    []float32     // [H] a = exp(-rate·softplus(row + shift))
	norm           norm          // applied to a head's output, [h]
	o              kernel.Linear // [D][H·h]
}

func (g *gatedDelta) in() kernel.Linear  { return g.proj }
func (g *gatedDelta) out() kernel.Linear { return g.o }
func (g *gatedDelta) width() int         { return g.heads * g.headDim }
func (g *gatedDelta) stateSize() int     { return g.heads * g.headDim * g.headDim }

func (g *gatedDelta) memoryBytes(int) (kept, spare int64) {
	kept = 4*int64(g.stateSize()) + g.conv.bytes()
	return kept, kept
}

func (g *gatedDelta) newMemory(_ int, w *workspace) memory {
	m := &deltaMemory{gatedDelta: g, workspace: w, history: g.conv.newHistory()}
	m.state, m.nextState = make([]float32, g.stateSize()), make([]float32, g.stateSize())
	m.scratch = make([]float32, w.pool.Threads()*2*g.headDim)
	return m
}

// deltaMemory holds S of each head, and what the convolution keeps.
type deltaMemory struct {
	*gatedDelta
	*workspace
	history
	state, nextState []float32 // [H][h of keys][h of values] up to the last commit, and with the current block
	scratch          []float32 // [worker][2][h]

	// The current block.
	rows   []float32
	tokens int
}

func (m *deltaMemory) commit() {
	m.history.commit()
	m.state, m.nextState = m.nextState, m.state
}

func (m *deltaMemory) copied() any { return slices.Concat(m.state, m.now) }

func (m *deltaMemory) restore(kept any) {
	clear(m.state)
	clear(m.now)
	if kept != nil {
		all := kept.([]float32)
		copy(m.now, all[copy(m.state, all):])
	}
}

// read puts the output of each token, normed and gated, in place of its queries.
func (m *deltaMemory) read(rows []float32, _, tokens int) {
	m.rows, m.tokens = rows, tokens
	m.pool.Run((*preparing)(m), pieces(3*m.width()), 8*piece*tokens)
	m.pool.Run((*remembering)(m), m.heads, 8*m.headDim*m.headDim*tokens)
}

// preparing is the first job that read runs: it passes queries, keys and values through convolution and SiLU. An item is a
// piece of the channels.
type preparing deltaMemory

func (p *preparing) Do(_, lo, hi int) {
	m := (*deltaMemory)(p)
	lo, hi = piece*lo, min(piece*hi, 3*m.width())
	stride := m.proj.Width()
	m.conv.run(&m.history, m.rows, stride, m.tokens, lo, hi)
	for t := range m.tokens {
		kernel.SiLU(m.rows[t*stride:][lo:hi])
	}
}

// remembering is the second job: the steps of the tokens, one after the other. An item is a head.
type remembering deltaMemory

func (r *remembering) Do(worker, lo, hi int) {
	m := (*deltaMemory)(r)
	h, width, stride := m.headDim, m.width(), m.proj.Width()
	scratch := m.scratch[worker*2*h:][:2*h]
	change, out := scratch[:h], scratch[h:]
	for head := lo; head < hi; head++ {
		from, state := m.state[head*h*h:][:h*h], m.nextState[head*h*h:][:h*h]
		for t := range m.tokens {
			row := m.rows[t*stride:][:stride]
			query, key, value := row[head*h:][:h], row[width+head*h:][:h], row[2*width+head*h:][:h]
			kernel.Unit(query)
			kernel.Unit(key)
			decay := kernel.Exp(-float32(m.rate[head] * kernel.Softplus(row[m.abAt+head]+m.shift[head])))
			write := 1 / (1 + kernel.Exp(2-row[m.abAt+m.heads+head]))
			kernel.DeltaStep(state, from, query, key, value, decay, write, change, out)
			from = state
			m.norm.apply(out, out)
			for i, gate := range row[3*width+head*h:][:h] {
				query[i] = out[i] / (1 + kernel.Exp(-gate))
			}
		}
	}
}

func (m *deltaMemory) mix(out, rows []float32, _, tokens int) {
	width := m.width()
	for t := range tokens {
		copy(out[t*kernel.Padded(width):][:width], rows[t*m.proj.Width():])
	}
}

// rates returns exp(x) of each x, from which the decays of heads are computed. It is bounded by the largest float32; no trained
// model comes near that.
func rates(logs []float32) []float32 {
	found := make([]float32, len(logs))
	for i, x := range logs {
		found[i] = float32(math.Min(float64(kernel.Exp(x)), math.MaxFloat32))
	}
	return found
}
