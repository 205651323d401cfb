package kernel

import "testing"

// TestReadBandwidth bounds what is told: no machine reads less than 10 MB nor more than 100 TB per second.
func TestReadBandwidth(t *testing.T) {
	for _, threads := range []int{0, 1, 3} {
		if got := ReadBandwidth(threads); !(got > 0.01 && got < 1e5) {
			t.Errorf("%d threads read %v GB/s", threads, got)
		}
	}
}
