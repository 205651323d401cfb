package kernel

import "math"

// The bounds of Exp's argument: below the lower one Exp returns 0, above the upper one exp of that bound.
const (
	expLow  = -87
	expHigh = 88
)

// exp(x) = 2^n · exp(r) with n = round(x / ln 2) and r = x - n·ln 2. ln 2 is in two parts, the first with few bits, so that
// n·ln2High is exact. exp(r) is Taylor's polynomial of degree 6 on |r| <= ln 2 / 2.
const (
	log2E   = math.Log2E
	ln2High = 0.693359375
	ln2Low  = math.Ln2 - ln2High
	exp2    = 1.0 / 2
	exp3    = 1.0 / 6
	exp4    = 1.0 / 24
	exp5    = 1.0 / 120
	exp6    = 1.0 / 720
	exp7    = exp6 / 7
	exp8    = exp7 / 8
	exp9    = exp8 / 9
	exp10   = exp9 / 10
	exp11   = exp10 / 11
)

// Exp returns e^x to about 2 units in the last place, with the same bits on every processor; math.Exp, which is assembly on
// some, does not promise that.
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

// Cap bends logits so that they stay within ±bound: each x becomes bound · tanh(x / bound) (Gemma 2, arXiv 2408.00118). The
// division and the product are in float32, as in torch; tanh is computed in float64 and rounded once.
func Cap(logits []float32, bound float32) {
	for i, x := range logits {
		logits[i] = bound * float32(tanh(float64(x/bound)))
	}
}

// tanh(x) = m / (m + 2) with m = e^2x - 1 for x >= 0, and tanh is odd; from 10 on it is 1 in float32. The result is accurate to
// 1e-13 and has the same bits on every processor, unlike that of math.Tanh.
func tanh(x float64) float64 {
	z := 2 * min(math.Abs(x), 10)
	// e^z = 2^n · e^r as in Exp, so m = 2^n · (e^r - 1) + 2^n - 1; Taylor's polynomial of degree 11, in two halves that a
	// processor computes side by side.
	n := math.RoundToEven(float64(z * math.Log2E))
	r := z - float64(n*ln2High)
	r = r - float64(n*ln2Low)
	s := float64(r * r)
	p := float64(s*exp11) + exp9
	p = float64(p*s) + exp7
	p = float64(p*s) + exp5
	p = float64(p*s) + exp3
	p = float64(p*s) + 1
	q := float64(s*exp10) + exp8
	q = float64(q*s) + exp6
	q = float64(q*s) + exp4
	q = float64(q*s) + exp2
	power := math.Float64frombits(uint64(int64(n)+1023) << 52)
	m := float64(power*float64(r*(p+float64(r*q)))) + (power - 1)
	return math.Copysign(m/(m+2), x)
}
