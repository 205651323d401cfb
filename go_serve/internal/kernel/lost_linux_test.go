package kernel

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"minitron/internal/fault"
)

// reading reads a byte of every page.
type reading struct {
	data []byte
	sum  [64]byte // by worker
}

func (r *reading) Do(worker, lo, hi int) {
	for i := lo; i < hi; i++ {
		r.sum[worker] += r.data[i<<12]
	}
}

// TestLost cuts a mapped file: whoever reads past its end, the caller of Run gets to know, and the pool can be used again.
func TestLost(t *testing.T) {
	const pages = 256
	path := filepath.Join(t.TempDir(), "weights.bin")
	for _, threads := range []int{1, 4} {
		if err := os.WriteFile(path, make([]byte, pages<<12), 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		data, err := syscall.Mmap(int(file.Fd()), 0, pages<<12, syscall.PROT_READ, syscall.MAP_PRIVATE)
		if err != nil {
			t.Fatal(err)
		}
		file.Close()
		pool := NewPool(threads)
		run := func() error {
			return fault.Mapped("weights.bin", func() { pool.Run(&reading{data: data}, pages, 1<<12) })
		}
		if err := run(); err != nil {
			t.Errorf("%d threads: a whole file: %v", threads, err)
		}
		os.Truncate(path, 100<<12)
		for range 3 {
			if err := run(); err == nil || !strings.HasPrefix(err.Error(), "weights.bin was cut or replaced") || fault.Hint(err) == "" {
				t.Errorf("%d threads: a cut file: %v", threads, err)
			}
		}
		os.Truncate(path, pages<<12)
		if err := run(); err != nil {
			t.Errorf("%d threads: a mended file: %v", threads, err)
		}
		pool.Close()
		syscall.Munmap(data)
	}
}
