package engine

import (
	"context"

	"minitron/internal/clock"
	"minitron/internal/sample"
)

// Speed is how fast a model reads and writes on this machine.
type Speed struct {
	Read, Written       int     // tokens
	ReadTPS, WrittenTPS float64 // per second
	Threads             int
}

// Measure reads and writes the given numbers of tokens, or fewer if the context is smaller, and returns the speed. The sequence
// holds nothing else afterwards.
func (q *Sequence) Measure(ctx context.Context, read, write int) (Speed, error) {
	size := q.engine.Config.Model.Longest()
	write = min(write, size/2)
	read = min(read, size-write)
	ids := make([]int, read)
	for i := range ids {
		ids[i] = i % q.engine.Tokenizer.Size()
	}
	q.Reset()
	began := clock.Now()
	logits, err := q.Logits(ctx, ids)
	reading := clock.Since(began)
	began = clock.Now()
	for n := 0; n < write && err == nil; n++ {
		logits, err = q.Extend(ctx, []int{sample.Argmax(logits)})
	}
	writing := clock.Since(began)
	return Speed{
		Read: read, ReadTPS: float64(read) / reading.Seconds(),
		Written: write, WrittenTPS: float64(write) / writing.Seconds(),
		Threads: q.engine.Threads(),
	}, err
}
