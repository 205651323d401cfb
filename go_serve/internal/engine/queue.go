package engine

import (
	"context"
	"slices"
	"sync"
)

// turnQueue hands out turns to compute, first come, first served: a model's workers do one job at a time.
type turnQueue struct {
	mu      sync.Mutex
	taken   bool
	waiting []chan struct{}
}

// enter waits for a turn. After a nil error leave must be called.
func (q *turnQueue) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	q.mu.Lock()
	if !q.taken {
		q.taken = true
		q.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	q.waiting = append(q.waiting, turn)
	q.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
		q.mu.Lock()
		place := slices.Index(q.waiting, turn)
		if place >= 0 {
			q.waiting = slices.Delete(q.waiting, place, place+1)
		}
		q.mu.Unlock()
		if place < 0 { // the turn came at the same moment
			q.leave()
		}
		return ctx.Err()
	}
}

// leave gives the turn to the next in line.
func (q *turnQueue) leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		q.taken = false
		return
	}
	close(q.waiting[0])
	q.waiting = slices.Delete(q.waiting, 0, 1)
}
