package model

import (
	"context"
	"math"
	"runtime"
	"time"

	"minitron/internal/clock"
	"minitron/internal/kernel"
)

const (
	maxThreads = 8 // decoding waits for memory: more threads than this only wait for one another
	tries      = 3 // tokens per number of threads
	worthIt    = 0.9
)

// BestThreads returns how many threads write a token fastest on this machine at present, by trying 1, 2, 4, ... on a few
// tokens. That takes some milliseconds, for a small model well below one.
func (m *Model) BestThreads() int {
	return fewestFast(min(runtime.GOMAXPROCS(0), maxThreads), m.timeToken)
}

// fewestFast tries 1, 2, 4, ... and at last most threads, as long as the next number takes at least a tenth less time than the
// one before and so is worth its cores. It returns the last number that was.
func fewestFast(most int, timeOf func(threads int) time.Duration) int {
	best, bestTime := 1, timeOf(1)
	for best < most {
		threads := min(2*best, most)
		took := timeOf(threads)
		if bestTime <= 0 || float64(took) > worthIt*float64(bestTime) {
			break
		}
		best, bestTime = threads, took
	}
	return best
}

// timeToken returns the shortest time that one of a few tokens took.
func (m *Model) timeToken(threads int) time.Duration {
	pool := kernel.NewPool(threads)
	defer pool.Close()
	tokens := min(tries+1, m.shape.Longest())
	st := m.newState(pool, tokens)
	best := time.Duration(math.MaxInt64)
	ids := make([]int, 0, tokens)
	for n := range tokens {
		ids = append(ids, 0)
		began := clock.Now()
		st.Logits(context.Background(), ids)
		if n > 0 { // the first one does not count: it wakes everything up
			best = min(best, clock.Since(began))
		}
	}
	return best
}
