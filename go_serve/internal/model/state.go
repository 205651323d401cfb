// Package model is the transformer: weights from a bundle, and a forward pass with a cache of keys and values, for both
// shapes of docs/formats.md. It knows ids and logits, neither text nor sampling.
package model

import (
	"context"

	"minitron-chat/internal/fault"
	"minitron-chat/internal/kernel"
)

// blockTokens is how many positions of a prompt go through the layers at once: each weight is then fetched from memory
// once per block.
const blockTokens = 16

// State is one sequence being read and written: the ids so far with their keys and values, and the scratch memory of the
// forward pass. It belongs to one goroutine.
type State struct {
	model *Model
	pool  *kernel.Pool
	ids   []int // the ids whose keys and values are cached

	reused int // how many of the last call's ids were cached before it

	keys, values [][]float32 // per layer [context][K·h]

	// Activations of one block, [blockTokens][...].
	x      []float32 // [T][D] the residual stream
	normed []float32 // [T][D]
	q      []float32 // [T][H·h]
	mixed  []float32 // [T][H·h] what attention reads
	hidden []float32 // [T][F]
	gate   []float32 // [T][F]; llama only
	cos    []float32 // [T][h/2]; llama only
	sin    []float32 // [T][h/2]
	scores []float32 // [T][H][context] attention weights
	logits []float32 // [vocab]

	matmul    kernel.MatMul
	attention attention
}

// NewState makes an empty sequence. All its memory is allocated here.
func (m *Model) NewState(pool *kernel.Pool) *State {
	s := m.shape
	floats := func(n int) []float32 { return make([]float32, n) }
	st := &State{
		model:  m,
		pool:   pool,
		ids:    make([]int, 0, s.Context),
		x:      floats(blockTokens * s.Dim),
		normed: floats(blockTokens * s.Dim),
		q:      floats(blockTokens * s.Dim),
		mixed:  floats(blockTokens * s.Dim),
		hidden: floats(blockTokens * s.FFDim),
		scores: floats(blockTokens * s.Heads * s.Context),
		logits: floats(s.VocabSize),
	}
	for range s.Layers {
		st.keys = append(st.keys, floats(s.Context*s.KVDim()))
		st.values = append(st.values, floats(s.Context*s.KVDim()))
	}
	if s.Arch == "llama" {
		st.gate = floats(blockTokens * s.FFDim)
		st.cos = floats(blockTokens * s.HeadDim() / 2)
		st.sin = floats(blockTokens * s.HeadDim() / 2)
	}
	return st
}

// Logits returns the logits [vocab] that follow ids, the whole sequence. What ids has in common with the sequence of the
// call before is in the cache and not computed again; the result does not depend on that, bit for bit. The slice is
// valid until the next call and holds finite numbers only. A cancelled ctx ends the work early with ctx.Err(); what was computed stays cached.
func (st *State) Logits(ctx context.Context, ids []int) ([]float32, error) {
	if err := st.check(ids); err != nil {
		return nil, err
	}
	kept := 0
	for kept < len(st.ids) && kept < len(ids)-1 && st.ids[kept] == ids[kept] {
		kept++
	}
	st.ids, st.reused = st.ids[:kept], kept
	for kept < len(ids) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		block := ids[kept:min(kept+blockTokens, len(ids))]
		st.forward(block, kept)
		kept += len(block)
		st.ids = append(st.ids, block...)
		if kept == len(ids) {
			st.head(len(block) - 1)
		}
	}
	for _, v := range st.logits {
		if v-v != 0 { // infinite or no number
			return nil, fault.New("export another checkpoint", "the model's output is not finite")
		}
	}
	return st.logits, nil
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
