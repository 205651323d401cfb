package kernel

import "math"

// What recurrent layers do between their products, in plain Go, so that it gives the same bits with every tier.

// unitEps keeps Unit from dividing by zero if all of a vector is zero.
const unitEps = 1e-6

// Unit scales x to length 1. The squares are exact in float64, and summed there.
func Unit(x []float32) {
	sum := 0.0
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	scale := float32(1 / math.Sqrt(sum+unitEps))
	for i := range x {
		x[i] *= scale
	}
}

var ones = func() (x [256]float32) {
	for i := range x {
		x[i] = 1
	}
	return x
}()

// SiLU replaces x by x / (1 + exp(-x)) (arXiv 1606.08415). The elements past the last multiple of 16 are computed one by one.
func SiLU(x []float32) {
	for len(x) >= lanes {
		n := min(len(x), len(ones)) &^ (lanes - 1)
		active.swiglu(x[:n], ones[:n])
		x = x[n:]
	}
	for i, v := range x {
		x[i] = v / (1 + Exp(-v))
	}
}

// Softplus returns log(1 + e^x), computed as max(x, 0) + log(1 + e^-|x|). It has the same bits on every processor, and is right
// to the last place of a float32.
func Softplus(x float32) float32 {
	u := float64(Exp(-float32(math.Abs(float64(x)))))
	// log(1 + u) = 2·artanh(s) with s = u / (2 + u), which is at most 1/3: the series in s², summed from its end
	s := u / (2 + u)
	square := float64(s * s)
	sum := 0.0
	for k := 23.0; k > 0; k -= 2 {
		sum = float64(sum*square) + 1/k
	}
	return max(x, 0) + float32(2*float64(s*sum))
}

// DeltaStep is one step of the gated delta rule (arXiv 2412.06464, equation 10) of one head. state, which is written, and from,
// the state before, are [h of keys][h of values], and may be the same slice. change and out, both [h], are written; out is what
// the query reads.
//
//	state = decay·from + key·changeᵀ    change = write·(value - decay·fromᵀ·key)    out = stateᵀ·query
func DeltaStep(state, from, query, key, value []float32, decay, write float32, change, out []float32) {
	h := len(query)
	key, value, change, out = key[:h], value[:h], change[:h], out[:h]
	clear(change)
	clear(out)
	for i, k := range key {
		row := from[i*h:][:h]
		for j := range change {
			change[j] += float32(row[j] * k)
		}
	}
	for j := range change {
		change[j] = write * (value[j] - float32(decay*change[j]))
	}
	for i, k := range key {
		old, row, q := from[i*h:][:h], state[i*h:][:h], query[i]
		for j := range change {
			v := float32(decay*old[j]) + float32(k*change[j])
			row[j] = v
			out[j] += float32(v * q)
		}
	}
}
