package model

import (
	"context"

	"minitron/internal/fault"
	"minitron/internal/kernel"
)

// blockTokens is how many positions of a prompt go through the layers at once: each weight is then fetched from memory
// once per block.
const blockTokens = 8 * kernel.Block

// SliceTokens is a good number of tokens for whoever cuts long prompts, to let others compute in between: a few blocks.
const SliceTokens = 2 * blockTokens

// State is one sequence being read and written: the ids so far, what the layers keep of them, and the buffers of the forward
// pass. It belongs to one goroutine. Only one of the states that share a pool may compute at a time.
//
// What a sequence costs and what it can go back to is the shape's matter. Truncate may therefore keep less than it is asked for;
// who gives the whole sequence each time, to Logits, need not know: what is missing is read again, and the result does not
// depend on that, bit for bit.
type State struct {
	model *Model
	pool  *kernel.Pool

	ids      []int    // those that the memories hold
	memories []memory // one per layer

	// Buffers for one block, [blockTokens][...]; rows are padded with zeros to multiples of 32.
	x      []float32 // [T][D] the residual stream
	normed []float32 // [T][D]
	rows   []float32 // [T][...] what a mixer reads, such as queries, keys and values
	mixed  []float32 // [T][...] what it writes, such as [H·h]
	hidden []float32 // [T][F] or [T][gate, up]
	change []float32 // [T][D] what is to be added to x
	logits []float32 // [vocab]

	// The block at hand.
	tokens int
	norm   norm
	mlp    *mlp

	input  *kernel.Input
	matmul kernel.MatMul
	each   eachToken
}

// NewState makes an empty sequence. All its memory but the table of rotations is allocated here.
func (m *Model) NewState(pool *kernel.Pool) *State { return m.newState(pool, m.shape.Context) }

// newState makes a state for sequences of so many positions.
func (m *Model) newState(pool *kernel.Pool, positions int) *State {
	s, b := m.shape, m.buffers()
	st := &State{
		model:  m,
		pool:   pool,
		ids:    make([]int, 0, positions),
		x:      make([]float32, blockTokens*b.dim),
		normed: make([]float32, blockTokens*b.dim),
		rows:   make([]float32, blockTokens*b.rows),
		mixed:  make([]float32, blockTokens*b.mixed),
		hidden: make([]float32, blockTokens*b.hidden),
		change: make([]float32, blockTokens*b.dim),
		logits: make([]float32, m.head.Width()),
		input:  kernel.NewInput(m.dtype, blockTokens, max(s.Dim, s.FFDim, b.mixed)),
	}
	st.each.st = st
	w := &workspace{pool: pool, rope: &rotations{headDim: s.HeadDim(), theta: s.RopeTheta, most: s.Context}}
	for i := range m.layers {
		st.memories = append(st.memories, m.layers[i].mixer.newMemory(positions, w))
	}
	return st
}

// widths are those of the rows of a state's buffers.
type widths struct{ dim, rows, mixed, hidden int }

func (m *Model) buffers() widths {
	w := widths{dim: kernel.Padded(m.shape.Dim)}
	for i := range m.layers {
		l := &m.layers[i]
		w.rows = max(w.rows, l.mixer.in().Width())
		w.mixed = max(w.mixed, kernel.Padded(l.mixer.width()))
		w.hidden = max(w.hidden, l.mlp.up.Width())
	}
	return w
}

// StateBytes returns about how much memory a State takes once its context is full, but for what each thread needs.
func (m *Model) StateBytes() int64 {
	w, positions := m.buffers(), m.shape.Context
	row := 3*w.dim + w.rows + w.mixed + w.hidden
	bytes := int64(4*blockTokens*row) + 4*int64(m.head.Width()) + 8*int64(positions)
	bytes += 4 * int64(positions) * int64(m.shape.HeadDim()) // rotations, where there are any
	for i := range m.layers {
		bytes += m.layers[i].mixer.memoryBytes(positions)
	}
	return bytes
}

// Len returns how many ids the sequence has.
func (st *State) Len() int { return len(st.ids) }

// Shared returns with how many of ids the sequence begins.
func (st *State) Shared(ids []int) int {
	n := 0
	for n < len(ids) && n < len(st.ids) && ids[n] == st.ids[n] {
		n++
	}
	return n
}

// Truncate forgets all ids but the first n, or more where the shape cannot go back to that position, and returns how many
// are left.
func (st *State) Truncate(n int) (kept int) {
	n = min(n, len(st.ids))
	for kept = -1; kept != n; { // until all layers agree
		kept = n
		for _, memory := range st.memories {
			n = memory.truncate(n)
		}
	}
	st.ids = st.ids[:n]
	return n
}

// Extend reads ids after those that the sequence has, and returns the logits [vocab] that follow. The slice is valid until the
// next call and holds finite numbers only. A cancelled ctx ends the work with ctx.Err(); the sequence has then grown by some
// blocks of ids, or by none. After an error because of the ids it is as it was.
func (st *State) Extend(ctx context.Context, ids []int) ([]float32, error) {
	if err := st.read(ctx, ids, true); err != nil {
		return nil, err
	}
	logits := st.logits[:st.model.shape.VocabSize]
	for _, v := range logits {
		if v-v != 0 { // infinite or no number
			return nil, fault.New("export another checkpoint", "the model's output is not finite")
		}
	}
	if bound := float32(st.model.shape.LogitCap); bound > 0 { // after the look at them: the tangent of infinity is finite
		kernel.Cap(logits, bound)
	}
	return logits, nil
}

// Read is Extend for ids that are not the last ones: it saves the time for logits.
func (st *State) Read(ctx context.Context, ids []int) error { return st.read(ctx, ids, false) }

// read reads ids block by block; with wanted the logits after the last one are left in st.logits.
func (st *State) read(ctx context.Context, ids []int, wanted bool) (err error) {
	if err := st.check(len(st.ids), ids); err != nil {
		return err
	}
	lost := fault.Mapped(st.model.file, func() {
		for err == nil && len(ids) > 0 {
			block := ids[:min(blockTokens, len(ids))]
			ids = ids[len(block):]
			err = st.forward(ctx, block, len(st.ids), wanted && len(ids) == 0)
		}
	})
	if lost != nil {
		return lost
	}
	return err
}

// Logits is Extend for whoever has the whole sequence: it goes back to what ids begin with in common and reads the rest, at
// least the last one.
func (st *State) Logits(ctx context.Context, ids []int) ([]float32, error) {
	if err := st.check(0, ids); err != nil {
		return nil, err
	}
	kept := st.Truncate(min(st.Shared(ids), len(ids)-1))
	return st.Extend(ctx, ids[kept:])
}

// check refuses ids that cannot follow a sequence of so many.
func (st *State) check(before int, ids []int) error {
	shape := st.model.shape
	if len(ids) == 0 {
		return fault.New("give at least one id", "the list of ids is empty")
	}
	if total := before + len(ids); total > shape.Context {
		return fault.New("give fewer ids", "there are %d ids, the context of this model is %d tokens", total, shape.Context)
	}
	for _, id := range ids {
		if id < 0 || id >= shape.VocabSize {
			return fault.New("", "the id %d is outside the vocabulary (0 to %d)", id, shape.VocabSize-1)
		}
	}
	return nil
}
