// Package kernel is the arithmetic of the forward pass: packed weights times activations, and what happens to vectors between
// these products. The scalar tier in plain Go defines the results; faster tiers stand beside it, and the best that the
// processor can run is chosen at start. It knows nothing of models, files or tokens.
//
// Every output element is computed by one goroutine in one fixed order, so results do not depend, bit for bit, on the number of
// threads nor on how many tokens are computed at once; with q8 and q4 weights they do not depend on the tier either.
package kernel

import (
	"encoding/binary"
)

// The layout of packed matrices (docs/formats.md): panels of 16 rows; in q8 and q4, groups of 32 columns.
const (
	lanes        = 16                          // rows of a panel
	groupSize    = 32                          // columns that share a scale
	q8GroupBytes = 2*lanes + 32*lanes          // scales, then 8 quads of 64 bytes
	q4GroupBytes = 2*lanes + 32*lanes/2        // scales, then 4 double quads of 64 bytes
	groupBytesX  = groupSize + 4 + 4           // of activations: bytes, scale, -128·Σ bytes
	tinyGroup    = 1.0 / (1 << 50) / (1 << 50) // a group of activations that are all smaller than this counts as zero
)

// codebook holds the values that the 16 codes of q4 stand for, with 128 added (docs/formats.md).
var codebook = [16]uint8{1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241}

// DType is how a matrix is stored.
type DType string

const (
	F16 DType = "f16"
	Q8  DType = "q8"
	Q4  DType = "q4"
)

// Padded returns the length of a row of n activations: the next multiple of 32. The elements past the n values must be zero.
func Padded(n int) int { return (n + groupSize - 1) / groupSize * groupSize }

// Matrix is a weight matrix W of shape [Rows][Cols] that is applied as W·x (the layout of torch.nn.Linear), packed.
type Matrix struct {
	Rows, Cols int
	DType      DType
	Data       []byte    // panels, used where they are: never written to
	Bias       []float32 // [Rows], or nil
}

// panels returns the number of panels of 16 rows; the last one is filled up with zeros.
func (m *Matrix) panels() int { return (m.Rows + lanes - 1) / lanes }

// panelBytes returns the size of one panel.
func (m *Matrix) panelBytes() int {
	groups := (m.Cols + groupSize - 1) / groupSize
	switch m.DType {
	case Q8:
		return groups * q8GroupBytes
	case Q4:
		return groups * q4GroupBytes
	}
	return 2 * lanes * m.Cols
}

// Row writes row r to dst, [Cols].
func (m *Matrix) Row(dst []float32, r int) {
	panel, lane := m.Data[r/lanes*m.panelBytes():][:m.panelBytes()], r%lanes
	half := func(at int) float32 { return HalfToFloat(binary.LittleEndian.Uint16(panel[at+2*lane:])) }
	dst = dst[:m.Cols]
	if m.DType == F16 {
		for c := range dst {
			dst[c] = half(2 * lanes * c)
		}
		return
	}
	size := q8GroupBytes
	if m.DType == Q4 {
		size = q4GroupBytes
	}
	var space weights16
	for at := 0; len(dst) > 0; at += size {
		w := (*weights16)(nil)
		if m.DType == Q4 {
			w = q4Weights(&space, panel[at+2*lanes:])
		} else {
			w = q8Weights(&space, panel[at+2*lanes:])
		}
		scale := half(at)
		for c := range min(groupSize, len(dst)) {
			dst[c] = scale * float32(int(w[(c/4*lanes+lane)*4+c%4])-128)
		}
		dst = dst[min(groupSize, len(dst)):]
	}
}

// Linear is one matrix, or several that are applied to the same input. Their outputs stand one behind the other, each beginning
// at a multiple of 32; the elements between them are never written to.
type Linear []Matrix

// Width returns the length of a row of outputs, a multiple of 32.
func (l Linear) Width() int {
	width := 0
	for i := range l {
		width += Padded(l[i].Rows)
	}
	return width
}

// panels returns the number of panels of all matrices.
func (l Linear) panels() int {
	panels := 0
	for i := range l {
		panels += l[i].panels()
	}
	return panels
}

// Input is a block of tokens' activations in the form that the kernels of a dtype read. Allocate one and reuse it.
type Input struct {
	quantized bool
	tokens    int
	cols      int
	x         []float32 // [tokens][stride]
	stride    int
	q         []byte // [tokens][qStride] groups of groupBytesX
	qStride   int
}

// NewInput allocates an Input for that many tokens with rows of up to cols values, to be multiplied by matrices of dtype.
func NewInput(dtype DType, tokens, cols int) *Input {
	in := &Input{quantized: dtype != F16}
	if in.quantized {
		in.q = make([]byte, tokens*Padded(cols)/groupSize*groupBytesX)
	}
	return in
}

// Reset sets the block to read: rows of cols values, followed by zeros up to Padded(cols), that begin stride apart. x holds a
// multiple of Block rows. After it Prepare must be called for every token.
func (in *Input) Reset(x []float32, stride, tokens, cols int) {
	in.x, in.stride, in.tokens, in.cols = x, stride, tokens, cols
	in.qStride = Padded(cols) / groupSize * groupBytesX
}

// Prepare converts the row of token t, whose values are now complete. Calls for different tokens may run at once.
func (in *Input) Prepare(t int) {
	if in.quantized {
		active.quantize(in.q[t*in.qStride:(t+1)*in.qStride], in.x[t*in.stride:][:Padded(in.cols)])
	}
}

// MatMul is the job out = l·x + bias for a block of tokens. Allocate one per caller and reuse it: running it allocates nothing.
type MatMul struct {
	linear Linear
	in     *Input
	out    []float32 // [tokens][width]
	width  int
}

// Run computes out[t] = l·x[t] + bias for the tokens of in. out is [tokens][l.Width()], and long enough for a number of tokens
// rounded up to a multiple of Block.
func (m *MatMul) Run(pool *Pool, l Linear, in *Input, out []float32) {
	m.linear, m.in, m.out, m.width = l, in, out, l.Width()
	pool.Run(m, l.panels(), l[0].panelBytes()*in.tokens)
	at := 0
	for i := range l {
		if l[i].Bias != nil {
			for t := range in.tokens {
				Add(out[t*m.width+at:][:l[i].Rows], l[i].Bias)
			}
		}
		at += Padded(l[i].Rows)
	}
}

// Do computes the panels lo..hi-1, counted through all matrices.
func (m *MatMul) Do(_, lo, hi int) {
	at := 0 // where the outputs of the current matrix begin
	for i := range m.linear {
		w := &m.linear[i]
		count := w.panels()
		if from, to := max(lo, 0), min(hi, count); from < to {
			m.panels(w, from, to, at+lanes*from)
		}
		lo, hi, at = lo-count, hi-count, at+Padded(w.Rows)
	}
}

// panels computes the panels lo..hi-1 of w; the first one's output begins at out[at].
func (m *MatMul) panels(w *Matrix, lo, hi, at int) {
	size, in := w.panelBytes(), m.in
	data := w.Data[lo*size : hi*size]
	if in.tokens == 1 {
		out := m.out[at : at+lanes*(hi-lo)]
		switch w.DType {
		case Q8:
			active.q8(out, in.q[:in.qStride], data)
		case Q4:
			active.q4(out, in.q[:in.qStride], data)
		default:
			active.f16(out, in.x[:w.Cols], data, size, 2*lanes)
		}
		return
	}
	if w.DType == F16 && active.f16Pair != nil {
		for ; len(data) >= 2*size; data, at = data[2*size:], at+2*lanes {
			for t := 0; t < in.tokens; t += active.block {
				active.f16Pair(m.out[t*m.width+at:], m.width, in.x[t*in.stride:], in.stride, data[:2*size])
			}
		}
	}
	for ; len(data) > 0; data, at = data[size:], at+lanes {
		panel := data[:size] // stays in the first-level cache for the whole block
		for t := 0; t < in.tokens; t += active.block {
			out := m.out[t*m.width+at:]
			switch w.DType {
			case Q8:
				active.q8Block(out, m.width, in.q[t*in.qStride:], in.qStride, panel)
			case Q4:
				active.q4Block(out, m.width, in.q[t*in.qStride:], in.qStride, panel)
			default:
				active.f16Block(out, m.width, in.x[t*in.stride:], in.stride, panel, 2*lanes)
			}
		}
	}
}

// Block is a multiple of the number of tokens that each tier computes at once. Buffers of activations hold a multiple of Block
// rows, so that a kernel may read and write past the last token.
const Block = 12

func init() {
	for _, t := range tiers {
		if Block%t.block != 0 {
			panic("kernel: Block is no multiple of the " + t.name + " tier's")
		}
	}
}
