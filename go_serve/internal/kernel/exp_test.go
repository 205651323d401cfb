package kernel

import (
	"math"
	"slices"
	"testing"
)

// TestExp compares Exp with math.Exp.
func TestExp(t *testing.T) {
	for x := -86.9; x < 88; x += 0.0137 {
		want := math.Exp(float64(float32(x)))
		if got := float64(Exp(float32(x))); math.Abs(got-want) > 3e-7*want {
			t.Fatalf("Exp(%v) = %v, want %v", float32(x), got, want)
		}
	}
	for _, test := range []struct{ x, want float32 }{{0, 1}, {float32(math.Inf(-1)), 0}, {-100, 0}, {1, math.E}} {
		if got := Exp(test.x); got != test.want {
			t.Errorf("Exp(%v) = %v, want %v", test.x, got, test.want)
		}
	}
	if got := Exp(1000); got != Exp(88) {
		t.Errorf("Exp(1000) = %v", got)
	}
}

// TestCap compares Cap with NumPy's float32(c) * float32(tanh(float64(float32(x) / float32(c)))), bit by bit.
func TestCap(t *testing.T) {
	x := []float32{0, float32(math.Copysign(0, -1)), 1e-30, 1e-6, -0.01, 0.3, -1, 7.25, -29.5, 30, 64, -1000, 3e38, -3e38}
	for _, test := range []struct {
		bound float32
		want  []uint32
	}{
		{30, []uint32{0, 0x80000000, 0x0da24260, 0x358637bd, 0xbc23d70a, 0x3e99984b, 0xbf7fe7bd, 0x40e3962a, 0xc1b514ce, 0x41b6c859, 0x41e95c08, 0xc1f00000, 0x41f00000, 0xc1f00000}},
		{15, []uint32{0, 0x80000000, 0x0da24260, 0x358637bd, 0xbc23d708, 0x3e99945d, 0xbf7f9f15, 0x40d779f6, 0xc166c86a, 0x41675ddb, 0x416fe7d3, 0xc1700000, 0x41700000, 0xc1700000}},
		{2.5, []uint32{0, 0x80000000, 0x0da24260, 0x358637bd, 0xbc23d6d0, 0x3e98ddf0, 0xbf732ad7, 0x401f08bb, 0xc0200000, 0x40200000, 0x40200000, 0xc0200000, 0x40200000, 0xc0200000}},
		{1 << 20, []uint32{0, 0x80000000, 0x0da24260, 0x358637bd, 0xbc23d70a, 0x3e99999a, 0xbf800000, 0x40e80000, 0xc1ec0000, 0x41f00000, 0x42800000, 0xc479fffb, 0x49800000, 0xc9800000}},
	} {
		got := slices.Clone(x)
		Cap(got, test.bound)
		for i, v := range got {
			if math.Float32bits(v) != test.want[i] {
				t.Errorf("%v within %v: %v, want %v", x[i], test.bound, v, math.Float32frombits(test.want[i]))
			}
		}
	}
	for x := 1e-9; x < 12; x *= 1.001 {
		if got, want := tanh(-x), math.Tanh(-x); math.Abs(got/want-1) > 1e-13 && x < 10 || float32(got) != float32(want) && x >= 10 {
			t.Fatalf("tanh(%v) = %v, want %v", -x, got, want)
		}
	}
}
