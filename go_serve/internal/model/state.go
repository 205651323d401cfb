// Package model is the transformer: weights from a bundle, and a forward pass with a cache of keys and values, for both
// shapes of docs/formats.md. It knows ids and logits, neither text nor sampling.
package model

import (
	"context"

	"minitron/internal/fault"
	"minitron/internal/kernel"
)

// blockTokens is how many positions of a prompt go through the layers at once: each weight is then fetched from memory
// once per block.
const blockTokens = 8 * kernel.Block

// State is one sequence being read and written: the ids so far with their keys and values, and the scratch memory of the
// forward pass. It belongs to one goroutine.
type State struct {
	model *Model
	pool  *kernel.Pool
	ids   []int // the ids whose keys and values are cached

	reused int // how many of the last call's ids were cached before it

	cache []*kernel.Cache // per layer

	// Activations of one block, [blockTokens][...]; rows are padded with zeros to multiples of 32.
	x      []float32 // [T][D] the residual stream
	normed []float32 // [T][D]
	qkv    []float32 // [T][queries, keys, values]
	mixed  []float32 // [T][H·h] what attention reads
	hidden []float32 // [T][F]; llama: [T][gate, up]
	change []float32 // [T][D] what is to be added to x
	logits []float32 // [vocab]

	cos, sin []float32 // [positions so far][h/2]; llama only

	// The block at hand.
	layer, start, tokens int // the layer, the position of the first token, how many there are

	input     *kernel.Input
	matmul    kernel.MatMul
	each      eachToken
	attention attention
	scratch   []*kernel.Scratch // one per worker
}

// NewState makes an empty sequence. All its memory but the table of rotations is allocated here.
func (m *Model) NewState(pool *kernel.Pool) *State { return m.newState(pool, m.shape.Context) }

// newState makes a state for sequences of so many positions.
func (m *Model) newState(pool *kernel.Pool, positions int) *State {
	s := m.shape
	dim := kernel.Padded(s.Dim)
	st := &State{
		model:  m,
		pool:   pool,
		ids:    make([]int, 0, positions),
		x:      make([]float32, blockTokens*dim),
		normed: make([]float32, blockTokens*dim),
		qkv:    make([]float32, blockTokens*m.layers[0].qkv.Width()),
		mixed:  make([]float32, blockTokens*dim),
		hidden: make([]float32, blockTokens*m.layers[0].up.Width()),
		change: make([]float32, blockTokens*dim),
		logits: make([]float32, m.embedding.Width()),
		input:  kernel.NewInput(m.dtype, blockTokens, max(s.Dim, s.FFDim)),
	}
	for range s.Layers {
		st.cache = append(st.cache, kernel.NewCache(s.KVHeads, s.HeadDim(), positions))
	}
	for range pool.Threads() {
		st.scratch = append(st.scratch, st.cache[0].NewScratch())
	}
	st.each.st, st.attention.st = st, st
	return st
}

// Logits returns the logits [vocab] that follow ids, the whole sequence. What ids has in common with the sequence of the
// call before is in the cache and not computed again; the result does not depend on that, bit for bit. The slice is
// valid until the next call and holds finite numbers only. A cancelled ctx ends the work early with ctx.Err(); what was
// computed stays cached.
func (st *State) Logits(ctx context.Context, ids []int) (logits []float32, err error) {
	if err := st.check(ids); err != nil {
		return nil, err
	}
	if lost := fault.Mapped("weights.bin", func() { logits, err = st.compute(ctx, ids) }); lost != nil {
		return nil, lost
	}
	return logits, err
}

func (st *State) compute(ctx context.Context, ids []int) ([]float32, error) {
	kept := 0
	for kept < len(st.ids) && kept < len(ids)-1 && st.ids[kept] == ids[kept] {
		kept++
	}
	st.ids, st.reused = st.ids[:kept], kept
	for kept < len(ids) {
		block := ids[kept:min(kept+blockTokens, len(ids))]
		if err := st.forward(ctx, block, kept, kept+len(block) == len(ids)); err != nil {
			return nil, err
		}
		kept += len(block)
		st.ids = append(st.ids, block...)
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

// rotations makes the table of rotations for so many positions. It grows with the sequence: a context that nobody fills
// costs neither time nor memory.
func (st *State) rotations(positions int) {
	shape := st.model.shape
	half := shape.HeadDim() / 2
	have := len(st.cos) / max(half, 1)
	if shape.Arch != "llama" || positions <= have {
		return
	}
	upTo := min(max(positions, 2*have), shape.Context)
	cos, sin := kernel.RopeTable(have, upTo, shape.HeadDim(), shape.RopeTheta)
	st.cos, st.sin = append(st.cos, cos...), append(st.sin, sin...)
}

// Reset forgets the sequence.
func (st *State) Reset() { st.ids = st.ids[:0] }

// Reused returns how many positions of the last call's ids were in the cache already.
func (st *State) Reused() int { return st.reused }

func (st *State) check(ids []int) error {
	shape := st.model.shape
	if len(ids) == 0 {
		return fault.New("give at least one id", "the list of ids is empty")
	}
	if len(ids) > shape.Context {
		return fault.New("give fewer ids", "there are %d ids, the context of this model is %d tokens", len(ids), shape.Context)
	}
	for _, id := range ids {
		if id < 0 || id >= shape.VocabSize {
			return fault.New("", "the id %d is outside the vocabulary (0 to %d)", id, shape.VocabSize-1)
		}
	}
	return nil
}
