package kernel

import "math"

// The bounds of Exp's argument: below the lower one it returns 0, above the upper one exp of that.
const (
	expLow  = -87
	expHigh = 88
)

// exp(x) = 2^n · exp(r) with n = round(x / ln 2), r = x - n·ln 2 (ln 2 in two parts, the first with few bits, so that
// n·ln2High is exact) and exp(r) a polynomial of degree 6 on |r| <= ln 2 / 2, here Taylor's.
const (
	log2E   = math.Log2E
	ln2High = 0.693359375
	ln2Low  = math.Ln2 - ln2High
	exp2    = 1.0 / 2
	exp3    = 1.0 / 6
	exp4    = 1.0 / 24
	exp5    = 1.0 / 120
	exp6    = 1.0 / 720
)

// Exp returns e^x to about 2 units in the last place, the same bits on every processor: math.Exp has assembly on some.
func Exp(x float32) float32 {
	if x < expLow {
		return 0
	}
	x = min(x, expHigh)
	n := float32(math.RoundToEven(float64(float32(x * log2E))))
	r := x - float32(n*ln2High)
	r = r - float32(n*ln2Low)
	p := float32(exp6*r) + exp5
	p = float32(p*r) + exp4
	p = float32(p*r) + exp3
	p = float32(p*r) + exp2
	p = float32(p*r) + 1
	p = float32(p*r) + 1
	return float32(p * math.Float32frombits(uint32(int32(n)+127)<<23))
}
