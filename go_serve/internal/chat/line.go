package chat

import (
	"context"
	"slices"
	"sync"
)

// line hands out turns to compute, first come, first served: a model's workers do one job at a time.
type line struct {
	mu      sync.Mutex
	taken   bool
	waiting []chan struct{}
}

// enter waits for a turn. After a nil error leave must be called.
func (l *line) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	if !l.taken {
		l.taken = true
		l.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	l.waiting = append(l.waiting, turn)
	l.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
		l.mu.Lock()
		place := slices.Index(l.waiting, turn)
		if place >= 0 {
			l.waiting = slices.Delete(l.waiting, place, place+1)
		}
		l.mu.Unlock()
		if place < 0 { // the turn came at the same moment
			l.leave()
		}
		return ctx.Err()
	}
}

// leave gives the turn to the next in line.
func (l *line) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		l.taken = false
		return
	}
	close(l.waiting[0])
	l.waiting = slices.Delete(l.waiting, 0, 1)
}
