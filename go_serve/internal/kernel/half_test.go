package kernel

import (
	"math"
	"testing"
)

// TestHalves goes through all 65,536 halves and through what lies between them.
func TestHalves(t *testing.T) {
	for bits := range 1 << 16 {
		v := HalfToFloat(uint16(bits))
		if back := FloatToHalf(v); back != uint16(bits) && v == v {
			t.Fatalf("half %04x is %v, which becomes %04x", bits, v, back)
		}
		want := math.Ldexp(float64(bits&1023), -24)
		if e := bits >> 10 & 31; e == 31 {
			continue
		} else if e > 0 {
			want = math.Ldexp(float64(bits&1023|1024), e-25)
		}
		if bits >= 1<<15 {
			want = -want
		}
		if float64(v) != want {
			t.Fatalf("half %04x is %v, want %v", bits, v, want)
		}
	}
	for bits := range 0x7bff { // between two halves: the nearer; in the middle: the even one
		lo, hi := HalfToFloat(uint16(bits)), HalfToFloat(uint16(bits+1))
		middle := (lo + hi) / 2
		even := uint16(bits + bits&1)
		if got := FloatToHalf(middle); got != even {
			t.Fatalf("%v becomes %04x, want %04x", middle, got, even)
		}
		if got := FloatToHalf(math.Nextafter32(middle, 0)); got != uint16(bits) {
			t.Fatalf("just below %v becomes %04x, want %04x", middle, got, bits)
		}
		if got := FloatToHalf(math.Nextafter32(middle, hi)); got != uint16(bits+1) {
			t.Fatalf("just above %v becomes %04x, want %04x", middle, got, bits+1)
		}
	}
	if FloatToHalf(65519) != 0x7bff || FloatToHalf(65520) != 0x7c00 || FloatToHalf(float32(math.Inf(-1))) != 0xfc00 {
		t.Error("the largest halves")
	}
}
