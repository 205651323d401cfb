package engine

import (
	"context"
	"runtime"
	"slices"
	"testing"
)

// waitFor returns when n are waiting in line.
func waitFor(l *turnQueue, n int) {
	for {
		l.mu.Lock()
		waiting := len(l.waiting)
		l.mu.Unlock()
		if waiting == n {
			return
		}
		runtime.Gosched()
	}
}

// TestTurnQueue holds the turn while others come, one after the other: they get it in that order, and who gives up gets none.
func TestTurnQueue(t *testing.T) {
	var l turnQueue
	if err := l.enter(context.Background()); err != nil {
		t.Fatal(err)
	}
	order := make(chan int)
	gone, leave := context.WithCancel(context.Background())
	failed := make(chan error)
	for n := range 5 {
		ctx := context.Background()
		if n == 2 {
			ctx = gone
		}
		go func() {
			if err := l.enter(ctx); err != nil {
				failed <- err
				return
			}
			order <- n
			l.leave()
		}()
		waitFor(&l, n+1)
	}
	leave()
	if err := <-failed; err != context.Canceled {
		t.Errorf("who gave up got %v", err)
	}
	l.leave()
	var got []int
	for range 4 {
		got = append(got, <-order)
	}
	if want := []int{0, 1, 3, 4}; !slices.Equal(got, want) {
		t.Errorf("turns came in the order %v, want %v", got, want)
	}
	if err := l.enter(context.Background()); err != nil {
		t.Error("the queue is not free at the end")
	}
	if err := l.enter(gone); err != context.Canceled {
		t.Errorf("a cancelled one entered: %v", err)
	}
}
