package model

import (
	"context"
	"runtime"
	"time"

	"minitron/internal/kernel"
)

const (
	maxThreads = 8 // decoding waits for memory: more threads than this only wait for each other
	tries      = 3 // tokens per number of threads
	worthIt    = 0.9
)

// BestThreads returns how many threads write a token fastest here and now, by trying 1, 2, 4, ... on a few tokens: some
// milliseconds, for a small model well below one. Another number must save a tenth of the time to be worth its cores.
func (m *Model) BestThreads() int {
	most := min(runtime.GOMAXPROCS(0), maxThreads)
	best, bestTime := 1, time.Duration(0)
	for threads := 1; ; threads = min(2*threads, most) {
		took := m.timeToken(threads)
		if bestTime > 0 && float64(took) > worthIt*float64(bestTime) {
			return best
		}
		best, bestTime = threads, took
		if threads == most {
			return best
		}
	}
}

// timeToken returns the shortest time of a few tokens.
func (m *Model) timeToken(threads int) time.Duration {
	pool := kernel.NewPool(threads)
	defer pool.Close()
	tokens := min(tries+1, m.shape.Context)
	st := m.newState(pool, tokens)
	best := time.Duration(0)
	ids := make([]int, 0, tokens)
	for n := range tokens {
		ids = append(ids, 0)
		began := time.Now()
		st.Logits(context.Background(), ids)
		if took := time.Since(began); n > 0 && (best == 0 || took < best) { // the first one wakes everything up
			best = took
		}
	}
	return best
}
