package engine

import (
	"context"

	"minitron/internal/model"
)

// Sequence is a place where one answer at a time is written. It keeps what it read and wrote, so that what the next prompt
// begins with in common is not computed again; the result does not depend on that. It belongs to one goroutine; several
// sequences of an engine take turns, a token or a slice of a prompt each.
type Sequence struct {
	engine *Engine
	state  *model.State
	reused int // how many of the last call's ids were known before it
}

// NewSequence makes an empty sequence as soon as the engine is ready.
func (e *Engine) NewSequence() (*Sequence, error) {
	state, err := e.NewState()
	if err != nil {
		return nil, err
	}
	return &Sequence{engine: e, state: state}, nil
}

// Shared returns with how many of ids the sequence begins, and how many it holds.
func (q *Sequence) Shared(ids []int) (shared, held int) { return q.state.Shared(ids), q.state.Len() }

// Logits returns the logits [vocab] that follow ids, valid until the next call. A cancelled ctx ends the work, and the
// waiting for a turn, with ctx.Err().
func (q *Sequence) Logits(ctx context.Context, ids []int) (logits []float32, err error) {
	q.reused = q.state.Begin(ids)
	return q.Extend(ctx, ids[q.reused:])
}

// Extend returns the logits that follow the sequence and ids after it, as Logits does; it takes no longer the longer the sequence is.
func (q *Sequence) Extend(ctx context.Context, ids []int) (logits []float32, err error) {
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

// after is Logits. With grown the ids are those of the call before and one more, unless a window moved on: then they are not compared
// with what is held, which would take longer the longer a text is.
func (q *Sequence) after(ctx context.Context, ids []int, grown bool) (logits []float32, err error) {
	if !grown || len(ids) != q.state.Len()+1 {
		return q.Logits(ctx, ids)
	}
	return q.Extend(ctx, ids[len(ids)-1:])
}

// turn computes when it is this sequence's turn.
func (q *Sequence) turn(ctx context.Context, compute func() error) error {
	if err := q.engine.queue.enter(ctx); err != nil {
		return err
	}
	defer q.engine.queue.leave()
	return compute()
}

// Reset forgets everything.
func (q *Sequence) Reset() { q.state.Truncate(0) }
