package model

import (
	"context"
	"math"

	"minitron/internal/kernel"
)

// forward runs the ids at positions start, start+1, ... through all layers and leaves their keys and values in the cache;
// with wanted also the logits after the last one in st.logits.
func (st *State) forward(ctx context.Context, ids []int, start int, wanted bool) error {
	m, shape := st.model, &st.model.shape
	dim := kernel.Padded(shape.Dim)
	st.start, st.tokens = start, len(ids)
	st.rotations(start + len(ids))
	st.embed(ids)
	for n := range m.layers {
		if err := ctx.Err(); err != nil {
			return err
		}
		st.layer = n
		l := &m.layers[n]
		st.input.Reset(st.normed, dim, st.tokens, shape.Dim)
		st.forEach((*State).intoAttention)
		st.product(l.qkv, st.qkv)
		st.forEach((*State).store)
		if n == len(m.layers)-1 { // past the last keys and values only the last position matters, and that not always
			if !wanted {
				return nil
			}
			st.onlyLast()
		}

		st.input.Reset(st.mixed, dim, st.tokens, shape.Dim)
		st.pool.Run(&st.attention, st.attention.items(), st.attention.cost())
		st.forEach((*State).outOfAttention)
		st.product(l.o, st.change)

		st.input.Reset(st.normed, dim, st.tokens, shape.Dim)
		st.forEach((*State).intoMLP)
		st.product(l.up, st.hidden)
		st.input.Reset(st.hidden, l.up.Width(), st.tokens, shape.FFDim)
		st.forEach((*State).insideMLP)
		st.product(l.down, st.change)
		st.forEach((*State).outOfMLP)
	}
	st.input.Reset(st.normed, dim, 1, shape.Dim)
	st.norm(&m.finalNorm, 0)
	st.product(m.embedding, st.logits)
	return nil
}

// embed fills the residual stream.
func (st *State) embed(ids []int) {
	m, dim := st.model, st.model.shape.Dim
	for t, id := range ids {
		x := st.row(st.x, t)[:dim]
		m.embedding[0].Row(x, id)
		if m.shape.Arch == "nanogpt" {
			position := st.row(st.change, t)[:dim]
			m.positions.Row(position, st.start+t)
			kernel.Add(x, position)
		}
	}
}

// onlyLast makes the block's last token the only one.
func (st *State) onlyLast() {
	last := st.tokens - 1
	copy(st.row(st.x, 0), st.row(st.x, last))
	width := st.model.layers[st.layer].qkv.Width()
	copy(st.qkv[:width], st.qkv[last*width:])
	st.start, st.tokens = st.start+last, 1
}

// row returns row t of a buffer whose rows are D wide.
func (st *State) row(buffer []float32, t int) []float32 {
	dim := kernel.Padded(st.model.shape.Dim)
	return buffer[t*dim:][:dim]
}

// product multiplies the rows that st.input has by the matrices of l.
func (st *State) product(l kernel.Linear, out []float32) { st.matmul.Run(st.pool, l, st.input, out) }

// eachToken is the job of doing something for every token of the block by itself.
type eachToken struct {
	st *State
	do func(st *State, worker, t int)
}

func (e *eachToken) Do(worker, lo, hi int) {
	for t := lo; t < hi; t++ {
		e.do(e.st, worker, t)
	}
}

func (st *State) forEach(do func(st *State, worker, t int)) {
	st.each.do = do
	st.pool.Run(&st.each, st.tokens, 16*st.model.shape.Dim)
}

// What is done for token t between two products:

// intoAttention norms x for the queries, keys and values.
func (st *State) intoAttention(_, t int) { st.norm(&st.model.layers[st.layer].attnNorm, t) }

// store norms (where the model does) and rotates queries and keys, and puts keys and values into the cache.
func (st *State) store(worker, t int) {
	m, l, shape := st.model, &st.model.layers[st.layer], &st.model.shape
	width := l.qkv.Width()
	row := st.qkv[t*width : (t+1)*width]
	queries, keys := row[:shape.Dim], row[m.keysAt:][:shape.KVDim()]
	if shape.Arch == "llama" {
		st.place(queries, l.qNorm, st.start+t)
		st.place(keys, l.kNorm, st.start+t)
	}
	kernel.Scale(queries, float32(1/math.Sqrt(float64(shape.HeadDim()))))
	st.cache[st.layer].Store(st.start+t, row[m.keysAt:], row[m.valuesAt:], st.scratch[worker])
}

// place norms and rotates the heads of one token's queries or keys.
func (st *State) place(heads, weight []float32, position int) {
	m, width := st.model, st.model.shape.HeadDim()
	cos, sin := st.cos[position*width/2:][:width/2], st.sin[position*width/2:][:width/2]
	for at := 0; at < len(heads); at += width {
		head := heads[at : at+width]
		if weight != nil {
			kernel.RMSNorm(head, head, weight, m.shape.NormEps)
		}
		kernel.Rope(head, cos, sin)
	}
}

// outOfAttention readies what attention read: change = o(mixed).
func (st *State) outOfAttention(_, t int) { st.input.Prepare(t) }

// intoMLP adds attention's output to x and norms it.
func (st *State) intoMLP(_, t int) {
	kernel.Add(st.row(st.x, t), st.row(st.change, t))
	st.norm(&st.model.layers[st.layer].mlpNorm, t)
}

// insideMLP is what stands between the matrices: llama: down(silu(gate(x)) · up(x)); nanogpt: down(gelu(up(x))).
func (st *State) insideMLP(_, t int) {
	width, size := st.model.layers[st.layer].up.Width(), kernel.Padded(st.model.shape.FFDim)
	hidden := st.hidden[t*width : (t+1)*width]
	if st.model.shape.Arch == "nanogpt" {
		kernel.GELU(hidden)
	} else {
		kernel.SwiGLU(hidden[:size], hidden[size:])
	}
	st.input.Prepare(t)
}

// outOfMLP adds the MLP's output to x.
func (st *State) outOfMLP(_, t int) { kernel.Add(st.row(st.x, t), st.row(st.change, t)) }

// norm writes the normed row of x to st.normed, and readies it for the next product.
func (st *State) norm(n *norm, t int) {
	dim, eps := st.model.shape.Dim, st.model.shape.NormEps
	out, x := st.row(st.normed, t)[:dim], st.row(st.x, t)[:dim]
	if st.model.shape.Arch == "nanogpt" {
		kernel.LayerNorm(out, x, n.weight, n.bias, eps)
	} else {
		kernel.RMSNorm(out, x, n.weight, eps)
	}
	st.input.Prepare(t)
}

// attention is the job softmax(q·kᵀ)·v of one layer for a block of tokens. An item is a query head for a few tokens; those
// of one head follow each other, as they read the same keys.
type attention struct{ st *State }

func (a *attention) parts() int { return (a.st.tokens + kernel.Block - 1) / kernel.Block }

func (a *attention) items() int { return a.st.model.shape.Heads * a.parts() }

// cost is about the bytes that an item reads, times its tokens.
func (a *attention) cost() int {
	st := a.st
	return 4 * (st.start + st.tokens) * st.model.shape.HeadDim() * min(st.tokens, kernel.Block)
}

// Do computes the items lo..hi-1.
func (a *attention) Do(worker, lo, hi int) {
	st, m := a.st, a.st.model
	width, parts := m.shape.HeadDim(), a.parts()
	group := m.shape.Heads / m.shape.KVHeads // query heads per key/value head
	qStride, stride := m.layers[st.layer].qkv.Width(), kernel.Padded(m.shape.Dim)
	for item := lo; item < hi; item++ {
		head, t := item/parts, item%parts*kernel.Block
		tokens := min(kernel.Block, st.tokens-t)
		out, q := st.mixed[t*stride+head*width:], st.qkv[t*qStride+head*width:]
		st.cache[st.layer].Attend(out, stride, q, qStride, head/group, st.start+t, tokens, st.scratch[worker])
	}
}
