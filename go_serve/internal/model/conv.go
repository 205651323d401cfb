package model

import (
	"slices"

	"minitron/internal/kernel"
)

// convolution is a causal convolution over the last w tokens, of each channel by itself.
type convolution struct {
	channels int
	taps     [][]float32 // [w][channels], the newest token's first
}

// newConvolution takes the weights as they are stored: [channels][w], the newest token's last.
func newConvolution(weights []float32, channels, width int) convolution {
	c := convolution{channels: channels, taps: make([][]float32, width)}
	for back := range c.taps {
		c.taps[back] = make([]float32, channels)
		for i := range channels {
			c.taps[back][i] = weights[i*width+width-1-back]
		}
	}
	return c
}

// history holds the last w-1 inputs of a convolution, [w-1][channels], the newest first: now up to the last commit, next with
// the current block.
type history struct{ now, next []float32 }

func (c *convolution) newHistory() history {
	size := (len(c.taps) - 1) * c.channels
	return history{make([]float32, size), make([]float32, size)}
}

// bytes returns the size of what a history keeps.
func (c *convolution) bytes() int64 { return 4 * int64(len(c.taps)-1) * int64(c.channels) }

func (h *history) commit() { h.now, h.next = h.next, h.now }

// run replaces the inputs of the channels lo..hi-1 in a block of rows, which begin stride apart, by the outputs of the
// convolution.
func (c *convolution) run(h *history, rows []float32, stride, tokens, lo, hi int) {
	input := func(t int) []float32 { // the input of a token of the block, or of one before it
		if t < 0 {
			return h.now[(-1-t)*c.channels:][lo:hi]
		}
		return rows[t*stride:][lo:hi]
	}
	for back := range len(c.taps) - 1 {
		copy(h.next[back*c.channels:][lo:hi], input(tokens-1-back))
	}
	for t := tokens - 1; t >= 0; t-- { // from the last, as the inputs of earlier tokens are still needed
		out := input(t)
		for i, tap := range c.taps[0][lo:hi] {
			out[i] *= tap
		}
		for back := 1; back < len(c.taps); back++ {
			x := input(t - back)
			for i, tap := range c.taps[back][lo:hi] {
				out[i] += float32(x[i] * tap)
			}
		}
	}
}

// shortConv is LFM2's gated short convolution: C · conv(B · x) (arXiv 2511.23404). A row holds B, C and x of a token.
type shortConv struct {
	dim  int
	proj kernel.Linear // [3D][D]
	conv convolution
	o    kernel.Linear // [D][D]
}

func (s *shortConv) in() kernel.Linear  { return s.proj }
func (s *shortConv) out() kernel.Linear { return s.o }
func (s *shortConv) width() int         { return s.dim }

func (s *shortConv) memoryBytes(int) (kept, spare int64) { return s.conv.bytes(), s.conv.bytes() }

func (s *shortConv) newMemory(_ int, w *workspace) memory {
	return &convMemory{shortConv: s, workspace: w, history: s.conv.newHistory()}
}

// convMemory is what a short convolution keeps: the last w-1 products B · x.
type convMemory struct {
	*shortConv
	*workspace
	history

	// The current block.
	rows   []float32
	tokens int
}

func (m *convMemory) copied() any { return slices.Clone(m.now) }

func (m *convMemory) restore(kept any) {
	clear(m.now)
	if kept != nil {
		copy(m.now, kept.([]float32))
	}
}

// read puts the result of each token in place of its x.
func (m *convMemory) read(rows []float32, _, tokens int) {
	m.rows, m.tokens = rows, tokens
	m.pool.Run((*convolving)(m), pieces(m.dim), 4*piece*tokens)
}

// convolving is the job that read runs. An item is a piece of the channels.
type convolving convMemory

func (c *convolving) Do(_, lo, hi int) {
	m := (*convMemory)(c)
	lo, hi = piece*lo, min(piece*hi, m.dim)
	stride := m.proj.Width()
	for t := range m.tokens {
		row := m.rows[t*stride:]
		multiply(row[2*m.dim:][lo:hi], row[lo:hi])
	}
	m.conv.run(&m.history, m.rows[2*m.dim:], stride, m.tokens, lo, hi)
	for t := range m.tokens {
		row := m.rows[t*stride:]
		multiply(row[2*m.dim:][lo:hi], row[m.dim:][lo:hi])
	}
}

func (m *convMemory) mix(out, rows []float32, _, tokens int) {
	for t := range tokens {
		copy(out[t*kernel.Padded(m.dim):][:m.dim], rows[t*m.proj.Width()+2*m.dim:])
	}
}

// piece is how many channels are computed together; pieces returns how many times that covers all of them.
const piece = 64

func pieces(channels int) int { return (channels + piece - 1) / piece }

// multiply multiplies x by y, element by element.
func multiply(x, y []float32) {
	y = y[:len(x)]
	for i := range x {
		x[i] *= y[i]
	}
}
