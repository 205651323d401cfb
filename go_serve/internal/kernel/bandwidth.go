package kernel

import (
	"math"
	"sync"
	"time"

	"minitron/internal/clock"
)

// ReadBandwidth measures how fast that many threads together read memory sequentially, in GB/s. This limits decoding, whose
// work is to read all weights for every token. It takes about half a second and 256 MB.
func ReadBandwidth(threads int) float64 {
	const megabytes, rounds = 256, 5
	buffer := make([]byte, megabytes<<20)
	for i := 0; i < len(buffer); i += 4096 { // all pages that were never written to are the same one
		buffer[i] = 1
	}
	part := len(buffer) / max(threads, 1) &^ 255
	best := time.Duration(math.MaxInt64)
	for range rounds {
		var group sync.WaitGroup
		began := clock.Now()
		for n := range max(threads, 1) {
			group.Go(func() { readAll(buffer[n*part : (n+1)*part]) })
		}
		group.Wait()
		best = min(best, clock.Since(began))
	}
	return float64(part*max(threads, 1)) / best.Seconds() / 1e9
}
