package chat

import (
	"context"

	"minitron/internal/model"
)

// sliceTokens is how much of a prompt is read in one turn, before the next in line computes: two of the model's blocks.
const sliceTokens = 192

// Sequence is a place where one answer at a time is written. It keeps what it read and wrote, so that what the next prompt
// begins with in common is not computed again; the result does not depend on that. It belongs to one goroutine; several
// sequences of an engine take turns, a token or a slice of a prompt each.
type Sequence struct {
	engine *Engine
	state  *model.State
	held   []int // ids that the state has computed, from the first one on
	reused int   // how many of the last call's ids were known before it
}

// NewSequence makes an empty sequence as soon as the engine is ready.
func (e *Engine) NewSequence() (*Sequence, error) {
	state, err := e.NewState()
	if err != nil {
		return nil, err
	}
	return &Sequence{engine: e, state: state, held: make([]int, 0, e.Config.Model.Context)}, nil
}

// Shared returns with how many of ids the sequence begins, and how many it holds.
func (q *Sequence) Shared(ids []int) (shared, held int) {
	for shared < len(ids) && shared < len(q.held) && ids[shared] == q.held[shared] {
		shared++
	}
	return shared, len(q.held)
}

// Logits returns the logits [vocab] that follow ids, valid until the next call. A cancelled ctx ends the work, and the
// waiting for a turn, with ctx.Err().
func (q *Sequence) Logits(ctx context.Context, ids []int) (logits []float32, err error) {
	known, _ := q.Shared(ids)
	q.reused = min(known, max(0, len(ids)-1)) // the last one is always computed
	q.held = q.held[:q.reused]
	for at := q.reused; ; {
		at = min(at+sliceTokens, len(ids))
		if logits, err = q.step(ctx, ids[:at]); err != nil {
			return nil, err
		}
		q.held = append(q.held, ids[len(q.held):at]...)
		if at == len(ids) {
			return logits, nil
		}
	}
}

// step computes in a turn of its own.
func (q *Sequence) step(ctx context.Context, ids []int) ([]float32, error) {
	if err := q.engine.line.enter(ctx); err != nil {
		return nil, err
	}
	defer q.engine.line.leave()
	return q.state.Logits(ctx, ids)
}

// Reset forgets everything.
func (q *Sequence) Reset() {
	q.state.Reset()
	q.held = q.held[:0]
}
