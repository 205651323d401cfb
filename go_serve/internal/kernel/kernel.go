// Package kernel is the arithmetic of the forward pass in plain Go: the scalar reference that every faster kernel is
// measured against. It knows nothing of models, files or tokens.
//
// All matrices are row-major float32. Every output element is computed by one goroutine in one fixed order, so results
// do not depend on the number of threads nor on how many tokens are computed at once, bit for bit.
package kernel

import "math"

// Name is what `bench` reports for these kernels.
const Name = "scalar"

// Matrix is a weight matrix W of shape [Rows][Cols], applied as W·x (the layout of torch.nn.Linear).
type Matrix struct {
	Rows, Cols int
	Data       []float32 // [Rows][Cols]
	Bias       []float32 // [Rows], or nil
}

// MatMul is the job out = x·Wᵀ + bias for a block of tokens. Keep one per caller and reuse it: running it allocates
// nothing.
type MatMul struct {
	w      *Matrix
	x      []float32 // [tokens][Cols]
	out    []float32 // [tokens][Rows]
	tokens int
}

// Run computes out[t] = w·x[t] + bias for each of the tokens; x is [tokens][Cols], out is [tokens][Rows].
func (m *MatMul) Run(pool *Pool, w *Matrix, x, out []float32, tokens int) {
	m.w, m.x, m.out, m.tokens = w, x[:tokens*w.Cols], out[:tokens*w.Rows], tokens
	pool.Run(m, w.Rows, w.Cols*tokens)
}

// Do computes the output rows lo..hi-1 for all tokens. The row stays in the first-level cache for the whole block.
func (m *MatMul) Do(lo, hi int) {
	rows, cols := m.w.Rows, m.w.Cols
	for r := lo; r < hi; r++ {
		row := m.w.Data[r*cols : (r+1)*cols]
		var bias float32
		if m.w.Bias != nil {
			bias = m.w.Bias[r]
		}
		for t := range m.tokens {
			m.out[t*rows+r] = Dot(row, m.x[t*cols:(t+1)*cols]) + bias
		}
	}
}

// Dot returns Σ a[i]·b[i]; b must be at least as long as a. Eight partial sums keep the adders busy and are added in a
// fixed tree at the end.
func Dot(a, b []float32) float32 {
	b = b[:len(a)]
	var s0, s1, s2, s3, s4, s5, s6, s7 float32
	for len(a) >= 8 && len(b) >= 8 { // the second test is there for the compiler: no bounds checks inside
		s0 += a[0] * b[0]
		s1 += a[1] * b[1]
		s2 += a[2] * b[2]
		s3 += a[3] * b[3]
		s4 += a[4] * b[4]
		s5 += a[5] * b[5]
		s6 += a[6] * b[6]
		s7 += a[7] * b[7]
		a, b = a[8:], b[8:]
	}
	for i, v := range a {
		s0 += v * b[i]
	}
	return ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))
}

// AddScaled adds scale·x to y, element by element; x must be at least as long as y.
func AddScaled(y, x []float32, scale float32) {
	x = x[:len(y)]
	for i := range y {
		y[i] += scale * x[i]
	}
}

// Add adds x to y, element by element.
func Add(y, x []float32) {
	x = x[:len(y)]
	for i := range y {
		y[i] += x[i]
	}
}

// RMSNorm writes x / sqrt(mean(x²) + eps) · weight to out (arXiv 1910.07467). out may be x.
func RMSNorm(out, x, weight []float32, eps float32) {
	var sum float64
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	scale := float32(1 / math.Sqrt(sum/float64(len(x))+float64(eps)))
	for i, v := range x {
		out[i] = v * scale * weight[i]
	}
}

// LayerNorm writes (x - mean) / sqrt(variance + eps) · weight + bias to out (arXiv 1607.06450). A nil bias is zero; out
// may be x.
func LayerNorm(out, x, weight, bias []float32, eps float32) {
	var sum float64
	for _, v := range x {
		sum += float64(v)
	}
	mean := sum / float64(len(x))
	var squares float64
	for _, v := range x {
		d := float64(v) - mean
		squares += d * d
	}
	scale := 1 / math.Sqrt(squares/float64(len(x))+float64(eps))
	for i, v := range x {
		out[i] = float32((float64(v)-mean)*scale) * weight[i]
	}
	if bias != nil {
		Add(out[:len(x)], bias)
	}
}

// Softmax turns x into exp(x) / Σ exp(x), in place. x must not be empty.
func Softmax(x []float32) {
	top := x[0]
	for _, v := range x {
		top = max(top, v)
	}
	var sum float32
	for i, v := range x {
		e := float32(math.Exp(float64(v - top)))
		x[i] = e
		sum += e
	}
	inverse := 1 / sum
	for i := range x {
		x[i] *= inverse
	}
}

// SwiGLU writes silu(gate)·up to gate, where silu(v) = v / (1 + exp(-v)) (arXiv 2002.05202).
func SwiGLU(gate, up []float32) {
	up = up[:len(gate)]
	for i, v := range gate {
		gate[i] = v / (1 + float32(math.Exp(float64(-v)))) * up[i]
	}
}

// GELU replaces x by x·Φ(x), the exact form with erf (arXiv 1606.08415).
func GELU(x []float32) {
	for i, v := range x {
		x[i] = 0.5 * v * float32(1+math.Erf(float64(v)/math.Sqrt2))
	}
}

// RopeAngles writes cos and sin of position·theta^(-2i/h) for i < h/2; both are [h/2].
func RopeAngles(cos, sin []float32, position int, theta float64) {
	half := len(cos)
	for i := range cos {
		angle := float64(position) * math.Pow(theta, -float64(i)/float64(half))
		s, c := math.Sincos(angle)
		cos[i], sin[i] = float32(c), float32(s)
	}
}

// Rope rotates one head in place: element i is paired with i + h/2 ("rotate half", as in Hugging Face; arXiv
// 2104.09864). head is [h], cos and sin are [h/2].
func Rope(head, cos, sin []float32) {
	half := len(head) / 2
	low, high := head[:half], head[half:2*half]
	cos, sin = cos[:half], sin[:half]
	for i := range low {
		a, b := low[i], high[i]
		low[i] = a*cos[i] - b*sin[i]
		high[i] = b*cos[i] + a*sin[i]
	}
}
