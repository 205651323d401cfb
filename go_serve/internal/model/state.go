package model

import (
	"context"

	"minitron/internal/fault"
	"minitron/internal/kernel"
)

// blockTokens is how many positions of a prompt go through the layers at once: each weight is then fetched from memory only
// once per block.
const blockTokens = 8 * kernel.Block

// SliceTokens is a good size, a few blocks, for the slices of a long prompt between which others may compute.
const SliceTokens = 2 * blockTokens

// State is one sequence being read and written: the ids so far, what the layers keep of them, and the buffers of the forward
// pass. Only one goroutine may use it. Only one of the states that share a pool may compute at a time.
//
// What a sequence costs and which positions it can go back to depends on the architecture (marks.go). Truncate may therefore
// keep less than it is asked for. A caller that gives the whole sequence each time, to Logits, need not care: what is missing
// is read again, and the result is the same, bit for bit.
type State struct {
	model *Model
	pool  *kernel.Pool

	ids      []int    // those that the memories hold
	memories []memory // one per layer
	marks    marks    // copies to go back to, if memories are fleeting

	// Buffers for one block, [blockTokens][...]; rows are padded with zeros to multiples of 32.
	x      []float32 // [T][D] the residual stream
	normed []float32 // [T][D]
	rows   []float32 // [T][...] what a mixer reads, such as queries, keys and values
	mixed  []float32 // [T][...] what it writes, such as [H·h]
	hidden []float32 // [T][F] or [T][gate, up]
	change []float32 // [T][D] what is to be added to x
	logits []float32 // [vocab]

	// The current block.
	tokens int
	norm   norm
	mlp    *mlp

	input  *kernel.Input
	matmul kernel.MatMul
	each   eachToken

	watcher *watcher // nil, except in Model.Attention
}

// NewState makes an empty sequence. It allocates all the memory that the sequence needs, except the table of rotations and, for
// an endless one, the ids and the marks.
func (m *Model) NewState(pool *kernel.Pool) *State { return m.newState(pool, m.shape.Longest()) }

// newState makes a state for sequences of at most that many positions.
func (m *Model) newState(pool *kernel.Pool, positions int) *State {
	s, b := m.shape, m.buffers()
	st := &State{
		model:  m,
		pool:   pool,
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
	w := &workspace{pool: pool, rope: &rotations{headDim: s.HeadDim(), theta: s.RopeTheta}}
	if !s.Endless() {
		w.rope.most = s.Context
		st.ids = make([]int, 0, positions)
	}
	for i := range m.layers {
		st.memories = append(st.memories, m.layers[i].mixer.newMemory(positions, w))
	}
	st.marks.fleeting, st.marks.most = fleetingOf(st.memories), marksFor(m.MemoryBytes())
	return st
}

// widths are the widths of the rows of a state's buffers.
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

// StateBytes returns about how many bytes a State takes once its context is full, without what each thread needs. An endless
// sequence takes that as soon as it has all its marks, and 8 bytes more for each token.
func (m *Model) StateBytes() int64 {
	w, positions := m.buffers(), m.shape.Context
	row := 3*w.dim + w.rows + w.mixed + w.hidden
	bytes := int64(4*blockTokens*row) + 4*int64(m.head.Width())
	kept, spare := m.memoryBytes()
	bytes += kept + spare
	if m.shape.Endless() {
		return bytes + int64(marksFor(kept))*kept
	}
	return bytes + int64(positions)*int64(8+4*m.shape.HeadDim()) // ids and, if there are any, rotations
}

// MemoryBytes returns how many of StateBytes are what the layers keep of the tokens. A mark takes as many.
func (m *Model) MemoryBytes() int64 {
	kept, _ := m.memoryBytes()
	return kept
}

func (m *Model) memoryBytes() (kept, spare int64) {
	for i := range m.layers {
		k, s := m.layers[i].mixer.memoryBytes(m.shape.Longest())
		kept, spare = kept+k, spare+s
	}
	return kept, spare
}

// Len returns how many ids the sequence has.
func (st *State) Len() int { return len(st.ids) }

// Shared returns how many tokens ids and the sequence have in common at their beginning.
func (st *State) Shared(ids []int) int {
	n := 0
	for n < len(ids) && n < len(st.ids) && ids[n] == st.ids[n] {
		n++
	}
	return n
}

// Truncate forgets all ids but the first n, or more if the model cannot go back to that position, and returns how many are
// left.
func (st *State) Truncate(n int) (kept int) {
	if n < len(st.ids) {
		st.ids = st.ids[:st.marks.back(n)]
	}
	return len(st.ids)
}

// Begin prepares for reading ids: it forgets what the sequence does not have in common with the beginning of ids. The last of
// ids counts as not common, because it always has to be computed. It returns how many ids are left; the rest of ids is to be
// read.
func (st *State) Begin(ids []int) (kept int) {
	shared := min(st.Shared(ids), max(0, len(ids)-1))
	kept = st.Truncate(shared)
	st.marks.parted = 0
	if kept < shared {
		st.marks.parted = shared
	}
	return kept
}

// Extend reads ids after those that the sequence has, and returns the logits [vocab] that follow. The slice is valid until the
// next call and holds finite numbers only. A cancelled ctx ends the work with ctx.Err(); the sequence has then grown by some
// blocks of ids, or by none. If ids are invalid, the error leaves the sequence as it was.
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
	if bound := float32(st.model.shape.LogitCap); bound > 0 { // after the check above: the tanh of infinity is finite
		kernel.Cap(logits, bound)
	}
	return logits, nil
}

// Read is Extend for ids that are not the last ones: it saves the time for the logits.
func (st *State) Read(ctx context.Context, ids []int) error { return st.read(ctx, ids, false) }

// read reads ids block by block; with wanted it leaves the logits after the last one in st.logits.
func (st *State) read(ctx context.Context, ids []int, wanted bool) (err error) {
	if err := st.Check(len(st.ids), ids); err != nil {
		return err
	}
	lost := fault.Mapped(st.model.file, func() {
		for err == nil && len(ids) > 0 {
			block := ids[:st.marks.upTo(len(st.ids), min(blockTokens, len(ids)), wanted && len(ids) <= blockTokens)]
			ids = ids[len(block):]
			err = st.forward(ctx, block, len(st.ids), wanted && len(ids) == 0)
			if err == nil {
				st.marks.set(len(st.ids), wanted && len(ids) == 1)
			}
		}
	})
	if lost != nil {
		return lost
	}
	return err
}

// Logits is Extend for a caller that has the whole sequence: it goes back to the beginning that ids and the sequence have in
// common, and reads the rest, at least the last one.
func (st *State) Logits(ctx context.Context, ids []int) ([]float32, error) {
	if err := st.Check(0, ids); err != nil {
		return nil, err
	}
	return st.Extend(ctx, ids[st.Begin(ids):])
}

// Check refuses ids that cannot follow a sequence of that many tokens.
func (st *State) Check(before int, ids []int) error {
	shape := st.model.shape
	if len(ids) == 0 {
		return fault.New("give at least one id", "the list of ids is empty")
	}
	if total := before + len(ids); total > shape.Longest() {
		return fault.New("give fewer ids", "there are %d ids, the context of this model is %d tokens", total, shape.Longest())
	}
	for _, id := range ids {
		if id < 0 || id >= shape.VocabSize {
			return fault.New("", "the id %d is outside the vocabulary (0 to %d)", id, shape.VocabSize-1)
		}
	}
	return nil
}
