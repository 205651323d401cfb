package engine

import (
	"context"

	"minitron/internal/model"
)

// Attention returns where the tokens of a text look in every layer. It waits for its turn to compute.
func (e *Engine) Attention(ctx context.Context, ids []int) ([]model.Attended, error) {
	if err := e.Ready(); err != nil {
		return nil, err
	}
	if err := e.queue.enter(ctx); err != nil {
		return nil, err
	}
	defer e.queue.leave()
	return e.Model.Attention(ctx, e.pool, ids)
}
