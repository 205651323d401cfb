package model

import (
	"context"

	"minitron/internal/kernel"
)

// forward runs a block of ids at positions start, start+1, ... through all layers, and commits it. With wanted it also leaves
// the logits after the last id in st.logits. If ctx ends first, nothing is committed.
func (st *State) forward(ctx context.Context, ids []int, start int, wanted bool) error {
	m, shape := st.model, &st.model.shape
	dim := kernel.Padded(shape.Dim)
	st.tokens = len(ids)
	st.embed(ids, start)
	for n := range m.layers {
		if err := ctx.Err(); err != nil {
			return err
		}
		l, memory := &m.layers[n], st.memories[n]
		last := n == len(m.layers)-1

		st.input.Reset(st.normed, dim, st.tokens, shape.Dim)
		st.norm = l.mixerNorm
		st.forEach((*State).normRow)
		st.product(l.mixer.in(), st.rows)
		memory.read(st.rows, start, st.tokens)
		if st.watcher != nil {
			st.watcher.look(n, l.mixer, st.rows, start, st.tokens)
		}
		if last && !wanted {
			break
		}
		if last { // the memories have taken in all tokens; from here on only the last one matters
			st.onlyLast(l.mixer.in().Width())
			start += len(ids) - 1
		}
		memory.mix(st.mixed, st.rows, start, st.tokens)
		clearPadding(st.mixed, l.mixer.width(), st.tokens)
		st.input.Reset(st.mixed, kernel.Padded(l.mixer.width()), st.tokens, l.mixer.width())
		st.forEach((*State).prepare)
		st.product(l.mixer.out(), st.change)

		st.input.Reset(st.normed, dim, st.tokens, shape.Dim)
		st.norm = l.mlpNorm
		st.forEach((*State).addAndNorm)
		st.product(l.mlp.up, st.hidden)
		st.input.Reset(st.hidden, l.mlp.up.Width(), st.tokens, shape.FFDim)
		st.mlp = &l.mlp
		st.forEach((*State).activate)
		st.product(l.mlp.down, st.change)
		st.forEach((*State).add)
	}
	if wanted {
		st.input.Reset(st.normed, dim, 1, shape.Dim)
		st.norm = m.finalNorm
		st.normRow(0)
		st.product(m.head, st.logits)
	}
	st.ids = append(st.ids, ids...)
	for _, memory := range st.memories {
		memory.commit()
	}
	return nil
}

// clearPadding zeroes what stands behind each of the first rows of x, up to their padded width: a layer of another width may have
// left numbers there, which would count in the scales of q8 and q4.
func clearPadding(x []float32, width, rows int) {
	padded := kernel.Padded(width)
	for t := 0; t < rows && width < padded; t++ {
		clear(x[t*padded:][width:padded])
	}
}

// embed fills the residual stream with the embeddings.
func (st *State) embed(ids []int, start int) {
	m, dim := st.model, st.model.shape.Dim
	for t, id := range ids {
		x := st.row(st.x, t)[:dim]
		m.embedding[0].Row(x, id)
		if m.positions.Rows > 0 {
			position := st.row(st.change, t)[:dim]
			m.positions.Row(position, start+t)
			kernel.Add(x, position)
		}
	}
}

// onlyLast makes the block's last token the only one; width is the width of the rows of its mixer.
func (st *State) onlyLast(width int) {
	last := st.tokens - 1
	copy(st.row(st.x, 0), st.row(st.x, last))
	copy(st.rows[:width], st.rows[last*width:])
	st.tokens = 1
}

// row returns row t of a buffer whose rows are D wide.
func (st *State) row(buffer []float32, t int) []float32 {
	dim := kernel.Padded(st.model.shape.Dim)
	return buffer[t*dim:][:dim]
}

// product multiplies the rows of st.input by the matrices of l.
func (st *State) product(l kernel.Linear, out []float32) { st.matmul.Run(st.pool, l, st.input, out) }

// eachToken is the job of calling do for every token of the block by itself.
type eachToken struct {
	st *State
	do func(st *State, t int)
}

func (e *eachToken) Do(_, lo, hi int) {
	for t := lo; t < hi; t++ {
		e.do(e.st, t)
	}
}

func (st *State) forEach(do func(st *State, t int)) {
	st.each.do = do
	st.pool.Run(&st.each, st.tokens, 16*st.model.shape.Dim)
}

// What forEach does for token t between two products:

// normRow norms x for the next product.
func (st *State) normRow(t int) {
	dim := st.model.shape.Dim
	st.norm.apply(st.row(st.normed, t)[:dim], st.row(st.x, t)[:dim])
	st.input.Prepare(t)
}

// prepare converts the mixed row for the next product.
func (st *State) prepare(t int) { st.input.Prepare(t) }

// add adds a product to x.
func (st *State) add(t int) { kernel.Add(st.row(st.x, t), st.row(st.change, t)) }

func (st *State) addAndNorm(t int) {
	st.add(t)
	st.normRow(t)
}

// activate applies the activation between the two products of an MLP.
func (st *State) activate(t int) {
	width := st.mlp.up.Width()
	st.mlp.activate(st.hidden[t*width:][:width])
	st.input.Prepare(t)
}
