package kernel

import (
	"sync"
	"sync/atomic"
)

// Task is work over the items 0..n-1. Do computes the items lo..hi-1; calls with disjoint ranges may run at once, and
// what an item's result is must not depend on the range that it came in.
type Task interface {
	Do(lo, hi int)
}

// Pool is a fixed set of workers that sleep while there is nothing to do. The caller of Run is one of them, so a pool of
// one thread starts no goroutine. Run must not be called by two goroutines at once, nor by a Task.
type Pool struct {
	threads int
	wake    chan struct{} // one token wakes one worker for the current job
	done    sync.WaitGroup
	task    Task
	n       int
	grain   int          // items taken at a time
	next    atomic.Int64 // the first item that nobody took yet
}

// NewPool starts threads-1 workers (threads < 1 counts as 1). Close ends them.
func NewPool(threads int) *Pool {
	threads = max(threads, 1)
	p := &Pool{threads: threads, wake: make(chan struct{}, threads)}
	for range threads - 1 {
		go p.worker()
	}
	return p
}

// Threads returns how many threads work on a job, the caller's included.
func (p *Pool) Threads() int { return p.threads }

// Close ends the workers. Run must not be called after it.
func (p *Pool) Close() { close(p.wake) }

// Run calls task.Do over all items 0..n-1 and returns when all are done. cost is the work per item, in multiply-adds:
// a job too small to be worth waking anybody runs on the calling goroutine.
func (p *Pool) Run(task Task, n, cost int) {
	if p.threads == 1 || n*cost < minParallelCost || n < 2 {
		task.Do(0, n)
		return
	}
	// A few takes per thread even out a core that another program slows down.
	p.task, p.n, p.grain = task, n, max(1, n/(p.threads*takesPerThread))
	p.next.Store(0)
	p.done.Add(p.threads - 1)
	for range p.threads - 1 {
		p.wake <- struct{}{}
	}
	p.work()
	p.done.Wait()
	p.task = nil
}

const (
	minParallelCost = 1 << 16 // about 30 µs of scalar work, several times what waking a worker costs
	takesPerThread  = 4
)

func (p *Pool) worker() {
	for range p.wake {
		p.work()
		p.done.Done()
	}
}

func (p *Pool) work() {
	for {
		lo := int(p.next.Add(int64(p.grain))) - p.grain
		if lo >= p.n {
			return
		}
		p.task.Do(lo, min(lo+p.grain, p.n))
	}
}
