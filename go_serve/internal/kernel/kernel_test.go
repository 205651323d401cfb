package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
)

func floats(random *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(random.NormFloat64())
	}
	return x
}

func near(t *testing.T, what string, got, want []float32, tolerance float64) {
	t.Helper()
	for i := range want {
		if math.Abs(float64(got[i])-float64(want[i])) > tolerance {
			t.Errorf("%s: element %d is %v, want %v", what, i, got[i], want[i])
			return
		}
	}
}

func TestHalf(t *testing.T) {
	tests := []struct {
		bits uint16
		want float32
	}{
		{0x0000, 0}, {0x3c00, 1}, {0xc000, -2}, {0x3555, 0.333251953125}, {0x7bff, 65504}, {0x0001, 5.9604644775390625e-08},
		{0x03ff, 6.097555160522461e-05}, {0x0400, 6.103515625e-05}, {0x8001, -5.9604644775390625e-08},
		{0x7c00, float32(math.Inf(1))}, {0xfc00, float32(math.Inf(-1))},
	}
	for _, test := range tests {
		if got := HalfToFloat(test.bits); got != test.want {
			t.Errorf("HalfToFloat(%04x) = %v, want %v", test.bits, got, test.want)
		}
	}
	if got := HalfToFloat(0x8000); got != 0 || !math.Signbit(float64(got)) {
		t.Errorf("HalfToFloat(8000) = %v, want -0", got)
	}
	if got := HalfToFloat(0x7e00); got == got {
		t.Errorf("HalfToFloat(7e00) = %v, want NaN", got)
	}
}

func TestConversionsSeeInfinity(t *testing.T) {
	dst := make([]float32, 2)
	if !HalvesToFloats(dst, []byte{0x00, 0x3c, 0xff, 0xfb}) || dst[0] != 1 || dst[1] != -65504 {
		t.Errorf("halves: %v", dst)
	}
	if HalvesToFloats(dst, []byte{0x00, 0x3c, 0x00, 0xfc}) {
		t.Error("an infinite half was called finite")
	}
	if !BytesToFloats(dst, []byte{0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0}) || dst[0] != 1 || dst[1] != -2 {
		t.Errorf("floats: %v", dst)
	}
	if BytesToFloats(dst, []byte{0, 0, 0x80, 0x3f, 0, 0, 0xc0, 0x7f}) {
		t.Error("a NaN was called finite")
	}
}

func TestByHand(t *testing.T) {
	x := []float32{1, -2, 3}
	if got := Dot(x, []float32{4, 5, 6}); got != 12 {
		t.Errorf("Dot = %v, want 12", got)
	}
	out := make([]float32, 3)
	RMSNorm(out, x, []float32{1, 1, 2}, 0)
	near(t, "RMSNorm", out, []float32{0.46291, -0.92582, 2.77746}, 1e-5)
	LayerNorm(out, x, []float32{1, 1, 2}, []float32{0, 0, 1}, 0)
	near(t, "LayerNorm", out, []float32{0.162221, -1.297771, 3.271101}, 1e-5)
	soft := []float32{1000, 1001, 999} // must not overflow
	Softmax(soft)
	near(t, "Softmax", soft, []float32{0.244728, 0.665241, 0.090031}, 1e-6)
	gate := []float32{0, 1, -200}
	SwiGLU(gate, []float32{5, 2, 3})
	near(t, "SwiGLU", gate, []float32{0, 1.462117, 0}, 1e-6)
	gelu := []float32{0, 1, -1, 10}
	GELU(gelu)
	near(t, "GELU", gelu, []float32{0, 0.841345, -0.158655, 10}, 1e-6)
	cos, sin := make([]float32, 2), make([]float32, 2)
	RopeAngles(cos, sin, 3, 100)
	near(t, "RopeAngles", append(cos, sin...), []float32{-0.989992, 0.955336, 0.141120, 0.295520}, 1e-6)
	head := []float32{1, 2, 3, 4} // pairs (1, 3) and (2, 4)
	Rope(head, []float32{0, 1}, []float32{1, 0})
	near(t, "Rope", head, []float32{-3, 2, 1, 4}, 0)
}

// TestMatMul compares with float64 for shapes on both sides of every unrolling, and demands the same bits whatever the
// number of threads and however many tokens go at once.
func TestMatMul(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for _, shape := range [][3]int{{1, 1, 1}, {3, 7, 2}, {5, 8, 1}, {16, 9, 3}, {300, 130, 5}, {70, 1000, 1}} {
		rows, cols, tokens := shape[0], shape[1], shape[2]
		w := &Matrix{Rows: rows, Cols: cols, Data: floats(random, rows*cols), Bias: floats(random, rows)}
		x := floats(random, tokens*cols)
		want := make([]float32, tokens*rows)
		for i := range want {
			sum := float64(w.Bias[i%rows])
			for c := range cols {
				sum += float64(w.Data[i%rows*cols+c]) * float64(x[i/rows*cols+c])
			}
			want[i] = float32(sum)
		}
		var first []float32
		for threads := 1; threads <= 5; threads++ {
			pool := NewPool(threads)
			var m MatMul
			out := make([]float32, tokens*rows)
			m.Run(pool, w, x, out, tokens)
			near(t, "MatMul", out, want, 1e-3)
			for at := range tokens { // token by token
				single := make([]float32, rows)
				m.Run(pool, w, x[at*cols:], single, 1)
				if !slices.Equal(single, out[at*rows:(at+1)*rows]) {
					t.Errorf("%v: token %d alone differs", shape, at)
				}
			}
			if first == nil {
				first = out
			} else if !slices.Equal(first, out) {
				t.Errorf("%v: %d threads differ from one", shape, threads)
			}
			pool.Close()
		}
	}
}

// counting is a task that notes how often each item was done.
type counting struct{ times []atomic.Int32 }

func (c *counting) Do(lo, hi int) {
	for i := lo; i < hi; i++ {
		c.times[i].Add(1)
	}
}

func TestPoolDoesEveryItemOnce(t *testing.T) {
	for threads := range 6 {
		pool := NewPool(threads)
		for _, n := range []int{0, 1, 2, 3, 7, 64, 1000} {
			task := &counting{times: make([]atomic.Int32, n)}
			pool.Run(task, n, minParallelCost)
			for i := range task.times {
				if got := task.times[i].Load(); got != 1 {
					t.Fatalf("%d threads, %d items: item %d was done %d times", threads, n, i, got)
				}
			}
		}
		pool.Close()
	}
}

func BenchmarkDot(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 1))
	x, y := floats(random, 512), floats(random, 512)
	b.SetBytes(512)
	for b.Loop() {
		Dot(x, y)
	}
}
