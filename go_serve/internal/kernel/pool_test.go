package kernel

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// marks counts how often every item was done.
type marks struct {
	done    []atomic.Int32
	workers []atomic.Int32 // calls at once per worker
	failed  atomic.Bool
	slow    bool
}

func (m *marks) Do(worker, lo, hi int) {
	if m.workers[worker].Add(1) != 1 {
		m.failed.Store(true)
	}
	for i := lo; i < hi; i++ {
		m.done[i].Add(1)
	}
	if m.slow && worker > 0 {
		time.Sleep(time.Millisecond)
	}
	m.workers[worker].Add(-1)
}

// TestPoolDoesAllOnce runs many jobs of all sizes, some with workers that dawdle, and lets workers fall asleep in between.
func TestPoolDoesAllOnce(t *testing.T) {
	for _, threads := range []int{1, 2, 3, 8} {
		pool := NewPool(threads)
		if pool.Threads() != threads {
			t.Errorf("%d threads, want %d", pool.Threads(), threads)
		}
		for n := range 3000 {
			items := 1 + n*7919%300
			m := &marks{done: make([]atomic.Int32, items), workers: make([]atomic.Int32, threads), slow: n%500 == 7}
			pool.Run(m, items, minParallelCost)
			for i := range m.done {
				if got := m.done[i].Load(); got != 1 {
					t.Fatalf("%d threads, job %d: item %d of %d was done %d times", threads, n, i, items, got)
				}
			}
			if m.failed.Load() {
				t.Fatalf("%d threads, job %d: two calls at once had the same worker", threads, n)
			}
			if n%700 == 0 {
				time.Sleep(5 * time.Millisecond)
			}
		}
		pool.Close()
	}
}

// TestPoolSleeps waits until all workers sleep, which they must soon, and wakes them again.
func TestPoolSleeps(t *testing.T) {
	pool := NewPool(4)
	defer pool.Close()
	for range 3 {
		m := &marks{done: make([]atomic.Int32, 64), workers: make([]atomic.Int32, 4)}
		pool.Run(m, 64, minParallelCost)
		deadline := time.Now().Add(5 * time.Second)
		for i := range pool.workers {
			for !pool.workers[i].asleep.Load() {
				if time.Now().After(deadline) {
					t.Fatalf("worker %d does not sleep", i)
				}
				time.Sleep(time.Millisecond)
			}
		}
	}
}

// TestPoolNeedsNobody runs a job whose only worker never comes back from another: the caller does all that is left.
func TestPoolNeedsNobody(t *testing.T) {
	pool := NewPool(2)
	pool.Close()
	time.Sleep(10 * time.Millisecond) // the worker is gone
	m := &marks{done: make([]atomic.Int32, 100), workers: make([]atomic.Int32, 2)}
	pool.Run(m, 100, minParallelCost)
	for i := range m.done {
		if m.done[i].Load() != 1 {
			t.Fatalf("item %d was done %d times", i, m.done[i].Load())
		}
	}
}

// breaking panics with errBroken in the first call that a given worker gets. The others go on with a call until that has
// happened, so that there is work left for it, and for a while after it.
type breaking struct {
	worker  int
	broke   atomic.Bool
	running atomic.Int32 // calls
}

var errBroken = errors.New("broken")

func (b *breaking) Do(worker, _, _ int) {
	b.running.Add(1)
	defer b.running.Add(-1)
	if worker == b.worker && b.broke.CompareAndSwap(false, true) {
		panic(errBroken)
	}
	for deadline := time.Now().Add(10 * time.Second); !b.broke.Load() && time.Now().Before(deadline); {
		time.Sleep(100 * time.Microsecond)
	}
	time.Sleep(200 * time.Microsecond)
}

// TestPoolSurvivesPanics lets a task panic on the caller's goroutine and on workers: Run's caller gets the cause, with the
// stack of the goroutine where it happened, after everybody has stopped; the next jobs are done as if nothing had been.
func TestPoolSurvivesPanics(t *testing.T) {
	for _, threads := range []int{1, 2, 4} {
		pool := NewPool(threads)
		for round := range 60 {
			const items = 64
			b := &breaking{worker: round % threads}
			cause := func() (cause any) {
				defer func() { cause = recover() }()
				pool.Run(b, items, minParallelCost)
				return nil
			}()
			err, _ := cause.(error)
			if !errors.Is(err, errBroken) {
				t.Fatalf("%d threads, worker %d: the caller recovered %v", threads, b.worker, cause)
			}
			if threads > 1 && !strings.Contains(err.Error(), "kernel.(*breaking).Do") {
				t.Fatalf("%d threads, worker %d: the stack of the task is lost:\n%v", threads, b.worker, err)
			}
			if n := b.running.Load(); n != 0 {
				t.Fatalf("%d threads, worker %d: Run panicked while %d calls went on", threads, b.worker, n)
			}
			m := &marks{done: make([]atomic.Int32, items), workers: make([]atomic.Int32, threads)}
			pool.Run(m, items, minParallelCost)
			for i := range m.done {
				if got := m.done[i].Load(); got != 1 {
					t.Fatalf("%d threads, worker %d: after the panic item %d was done %d times", threads, b.worker, i, got)
				}
			}
		}
		pool.Close()
	}
}

// BenchmarkPool is what handing out a job costs.
func BenchmarkPool(b *testing.B) {
	pool := NewPool(2)
	defer pool.Close()
	m := &marks{done: make([]atomic.Int32, 16), workers: make([]atomic.Int32, 2)}
	for b.Loop() {
		pool.Run(m, 16, minParallelCost)
	}
}
