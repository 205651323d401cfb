package engine

import (
	"context"

	"minitron/internal/model"
)

// Sequence is a place where one answer at a time is written. It keeps what it read and wrote in its cache, so that the
// beginning that the next prompt has in common with that is not computed again; the result does not depend on it. Only one
// goroutine may use it. Several sequences of an engine take turns, a token or a slice of a prompt each.
type Sequence struct {
	engine *Engine
	state  *model.State
	reused int // how many ids of the last call were in the cache before it
}

// NewSequence waits until the engine is ready and makes an empty sequence.
func (e *Engine) NewSequence() (*Sequence, error) {
	state, err := e.NewState()
	if err != nil {
		return nil, err
	}
	return &Sequence{engine: e, state: state}, nil
}

// Shared returns how many tokens ids and the sequence have in common at their beginning, and how many the sequence holds.
func (q *Sequence) Shared(ids []int) (shared, held int) { return q.state.Shared(ids), q.state.Len() }

// Logits returns the logits [vocab] that follow ids; they are valid until the next call. A cancelled ctx ends the work, or the
// waiting for a turn, with ctx.Err().
func (q *Sequence) Logits(ctx context.Context, ids []int) (logits []float32, err error) {
	if err := q.state.Check(0, ids); err != nil { // before the sequence changes
		return nil, err
	}
	q.reused = q.state.Begin(ids)
	return q.extend(ctx, ids[q.reused:])
}

// Extend returns the logits that follow the sequence with ids appended, as Logits does. It does not compare ids with what the
// sequence holds, which would take longer the longer the sequence is.
func (q *Sequence) Extend(ctx context.Context, ids []int) (logits []float32, err error) {
	if err := q.state.Check(q.state.Len(), ids); err != nil {
		return nil, err
	}
	return q.extend(ctx, ids)
}

func (q *Sequence) extend(ctx context.Context, ids []int) (logits []float32, err error) {
	for ; len(ids) > model.SliceTokens; ids = ids[model.SliceTokens:] {
		if err := q.turn(ctx, func() error { return q.state.Read(ctx, ids[:model.SliceTokens]) }); err != nil {
			return nil, err
		}
	}
	err = q.turn(ctx, func() error {
		logits, err = q.state.Extend(ctx, ids)
		return err
	})
	return logits, err
}

// after is Logits. With grown, ids are those of the call before and one more, unless the window has moved on. They are then not
// compared with what the sequence holds, which would take longer the longer a text is.
func (q *Sequence) after(ctx context.Context, ids []int, grown bool) (logits []float32, err error) {
	if !grown || len(ids) != q.state.Len()+1 {
		return q.Logits(ctx, ids)
	}
	return q.Extend(ctx, ids[len(ids)-1:])
}

// turn waits for this sequence's turn and calls compute.
func (q *Sequence) turn(ctx context.Context, compute func() error) error {
	if err := q.engine.queue.enter(ctx); err != nil {
		return err
	}
	defer q.engine.queue.leave()
	return compute()
}

// Reset forgets everything.
func (q *Sequence) Reset() { q.state.Truncate(0) }
