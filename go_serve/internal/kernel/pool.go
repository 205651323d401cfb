package kernel

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"

	"minitron/internal/fault"
)

// Task is work over the items 0..n-1. Do computes the items lo..hi-1. Calls with disjoint ranges may run at once, and an item's
// result must not depend on the range that it is in. Calls that run at once have different numbers as worker, all below the
// pool's number of threads.
type Task interface {
	Do(worker, lo, hi int)
}

// Pool is a fixed set of workers. The caller of Run is one of them, so a pool of one thread starts no goroutine. A worker
// without work polls for the next job for some microseconds, as the next layer is about to come; then it sleeps and costs
// nothing. Nobody waits for a worker that has not begun: on a busy machine the others do its share.
//
// Run must not be called by two goroutines at once, nor by a Task. If a Task panics, on whichever goroutine, Run panics once
// the job is over; a caller that recovers can use the pool again.
type Pool struct {
	workers []worker

	// The current job. These fields are written only while no take is open, and read only after a successful take.
	task  Task
	n     int // items
	grain int // items in a take, which is the part of a job that a thread computes at a time

	ticket  atomic.Uint64 // job number << 32 | takes in all << 16 | takes handed out; there are few takes, whatever n is
	pending atomic.Int32  // takes that are not finished
	closed  atomic.Bool
	failed  atomic.Pointer[any] // what the first Task to panic in this job panicked with
}

// worker is a goroutine that works beside the caller.
type worker struct {
	asleep atomic.Bool
	wake   chan struct{}
	_      [48]byte // fills a cache line, so that workers do not share one
}

const (
	minParallelCost = 1 << 15 // bytes of weights per job; below it, handing out the work costs more than it saves
	takesPerThread  = 4       // with several takes per thread, a core that another program slows down gets fewer
	takeAlign       = 4       // items: kernels are fastest on multiples of that many panels
	idleSpins       = 4000    // of about 25 ns: how long a worker looks for the next job before it sleeps
)

// NewPool starts threads-1 workers (threads < 1 counts as 1). Close ends them.
func NewPool(threads int) *Pool {
	p := &Pool{workers: make([]worker, max(threads, 1)-1)}
	for i := range p.workers {
		p.workers[i].wake = make(chan struct{}, 1)
		go p.serve(i)
	}
	return p
}

// Threads returns how many threads work on a job, the caller's included.
func (p *Pool) Threads() int { return len(p.workers) + 1 }

// Close ends the workers. Run must not be called after it.
func (p *Pool) Close() {
	p.closed.Store(true)
	p.wakeAll()
}

// Run calls task.Do for all items 0..n-1 and returns when all are done. cost is the work per item, about the bytes of its
// weights times the tokens: a small job runs on the calling goroutine alone.
func (p *Pool) Run(task Task, n, cost int) {
	if len(p.workers) == 0 || n < 2 || int64(n)*int64(cost) < minParallelCost {
		task.Do(0, 0, n)
		return
	}
	grain := max(1, n/(p.Threads()*takesPerThread))
	if grain > takeAlign {
		grain = (grain + takeAlign - 1) / takeAlign * takeAlign
	}
	takes := (n + grain - 1) / grain
	p.task, p.n, p.grain = task, n, grain
	p.pending.Store(int32(takes))
	p.ticket.Store((p.ticket.Load()>>32+1)<<32 | uint64(takes)<<16)
	p.wakeAll()
	p.work(0)
	for spins := 0; p.pending.Load() != 0; spins++ {
		if spins < 200 {
			pause()
		} else {
			runtime.Gosched() // the system has suspended a worker in the middle of a take
		}
	}
	p.task = nil
	if cause := p.failed.Swap(nil); cause != nil {
		panic(*cause) // on the caller's goroutine, which may know what to do
	}
}

func (p *Pool) wakeAll() {
	for i := range p.workers {
		w := &p.workers[i]
		if w.asleep.Load() && w.asleep.CompareAndSwap(true, false) {
			w.wake <- struct{}{}
		}
	}
}

// serve is the loop of a worker.
func (p *Pool) serve(i int) {
	w := &p.workers[i]
	debug.SetPanicOnFault(true)
	for spins := 0; !p.closed.Load(); spins++ {
		if p.work(i + 1) {
			spins = 0
		}
		if spins < idleSpins {
			pause()
			continue
		}
		w.asleep.Store(true)
		if p.open() || p.closed.Load() { // a job has just come: whoever clears the flag first decides whether this worker sleeps
			if w.asleep.CompareAndSwap(true, false) {
				spins = 0
				continue
			}
		}
		<-w.wake
		spins = 0
	}
}

// open reports whether there are takes that have not been handed out.
func (p *Pool) open() bool {
	t := p.ticket.Load()
	return t>>16&0xffff > t&0xffff
}

// work computes takes until none is left, and reports whether there was any.
func (p *Pool) work(worker int) bool {
	worked := false
	for {
		t := p.ticket.Load()
		if t>>16&0xffff <= t&0xffff {
			return worked
		}
		if !p.ticket.CompareAndSwap(t, t+1) {
			continue
		}
		// While this take is pending Run does not return, so the fields of the job stay as they are.
		worked = true
		lo := int(t&0xffff) * p.grain
		p.take(worker, lo)
	}
}

// take computes the items of the take that begins at lo. A panic is kept for Run: on a worker's goroutine nobody could recover
// it, and on the caller's it would leave Run while others still work.
func (p *Pool) take(worker, lo int) {
	defer func() {
		if cause := recover(); cause != nil {
			p.fail(cause)
		}
		p.pending.Add(-1)
	}()
	p.task.Do(worker, lo, min(lo+p.grain, p.n))
}

// fail keeps what a Task panicked with, if it is the first of the job.
func (p *Pool) fail(cause any) {
	if _, ok := cause.(fault.Lost); !ok {
		cause = &taskPanic{cause: cause, stack: debug.Stack()}
	}
	p.failed.CompareAndSwap(nil, &cause)
}

// taskPanic carries a panic from the goroutine where it happened to the caller of Run, with the stack of that goroutine.
type taskPanic struct {
	cause any
	stack []byte
}

func (p *taskPanic) Error() string {
	return fmt.Sprintf("%v\n\nThe stack of the task that panicked:\n%s", p.cause, p.stack)
}

// Unwrap returns the cause if it is an error.
func (p *taskPanic) Unwrap() error {
	err, _ := p.cause.(error)
	return err
}
