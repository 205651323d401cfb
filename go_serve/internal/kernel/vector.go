package kernel

import "math"

// RMSNorm writes x / sqrt(mean(x²) + eps) · weight to out (arXiv 1910.07467). out may be x. The square of a float32 is
// exact in float64, so it does not matter whether the compiler fuses it with the addition.
func RMSNorm(out, x, weight []float32, eps float64) {
	var s0, s1, s2, s3 float64
	for i := 0; i+4 <= len(x); i += 4 {
		v := x[i : i+4 : i+4]
		s0 += float64(v[0]) * float64(v[0])
		s1 += float64(v[1]) * float64(v[1])
		s2 += float64(v[2]) * float64(v[2])
		s3 += float64(v[3]) * float64(v[3])
	}
	for _, v := range x[len(x)&^3:] {
		s0 += float64(v) * float64(v)
	}
	sum := (s0 + s1) + (s2 + s3)
	scale := float32(1 / math.Sqrt(sum/float64(len(x))+eps))
	out, weight = out[:len(x)], weight[:len(x)]
	for i, v := range x {
		out[i] = float32(v*scale) * weight[i]
	}
}

// LayerNorm writes (x - mean) / sqrt(variance + eps) · weight + bias to out (arXiv 1607.06450). A nil bias is zero; out
// may be x.
func LayerNorm(out, x, weight, bias []float32, eps float64) {
	var s0, s1, s2, s3 float64
	for i := 0; i+4 <= len(x); i += 4 {
		v := x[i : i+4 : i+4]
		s0 += float64(v[0])
		s1 += float64(v[1])
		s2 += float64(v[2])
		s3 += float64(v[3])
	}
	for _, v := range x[len(x)&^3:] {
		s0 += float64(v)
	}
	mean := float32(((s0 + s1) + (s2 + s3)) / float64(len(x)))
	s0, s1, s2, s3 = 0, 0, 0, 0
	for i := 0; i+4 <= len(x); i += 4 {
		v := x[i : i+4 : i+4]
		a, b, c, d := float64(v[0]-mean), float64(v[1]-mean), float64(v[2]-mean), float64(v[3]-mean)
		s0 += a * a
		s1 += b * b
		s2 += c * c
		s3 += d * d
	}
	for _, v := range x[len(x)&^3:] {
		a := float64(v - mean)
		s0 += a * a
	}
	scale := float32(1 / math.Sqrt(((s0+s1)+(s2+s3))/float64(len(x))+eps))
	out, weight = out[:len(x)], weight[:len(x)]
	for i, v := range x {
		out[i] = float32(float32(v-mean)*scale) * weight[i]
	}
	if bias != nil {
		Add(out, bias)
	}
}

// Add adds x to y, element by element.
func Add(y, x []float32) {
	x = x[:len(y)]
	for i := range y {
		y[i] += x[i]
	}
}

// Scale multiplies x by factor, element by element.
func Scale(x []float32, factor float32) {
	for i := range x {
		x[i] *= factor
	}
}

// SwiGLU writes silu(gate)·up to gate. The length is a multiple of 16.
func SwiGLU(gate, up []float32) { active.swiglu(gate, up) }

// GELU replaces x by x·Φ(x). The length is a multiple of 16.
func GELU(x []float32) { active.gelu(x) }

// Rope rotates one head in place by rotary positions (arXiv 2104.09864): element i is paired with i + h/2 ("rotate half", as in
// Hugging Face). head is [h], cos and sin are [h/2].
func Rope(head, cos, sin []float32) {
	half := len(head) / 2
	low, high := head[:half], head[half:2*half]
	cos, sin = cos[:half], sin[:half]
	for i := range low {
		a, b := low[i], high[i]
		low[i] = float32(a*cos[i]) - float32(b*sin[i])
		high[i] = float32(b*cos[i]) + float32(a*sin[i])
	}
}

// RopeTable returns cos and sin of position·theta^(-2i/h) for the positions from..to-1, each [to-from][h/2]. They have the same
// bits on every processor, which math.Pow and math.Sincos do not promise.
func RopeTable(from, to, h int, theta float64) (cos, sin []float32) {
	cos, sin = make([]float32, (to-from)*(h/2)), make([]float32, (to-from)*(h/2))
	RopeRows(cos, sin, from, RopeFrequencies(h, theta))
	return cos, sin
}

// RopeFrequencies returns theta^(-2i/h), [h/2].
func RopeFrequencies(h int, theta float64) []float64 {
	frequencies := make([]float64, h/2)
	for i := range frequencies {
		frequencies[i] = 1 / power(theta, float64(i)/float64(h/2))
	}
	return frequencies
}

// RopeRows fills cos and sin with rows as in RopeTable, as many as they have room for, beginning with the position from.
func RopeRows(cos, sin []float32, from int, frequencies []float64) {
	for n := range len(cos) / len(frequencies) {
		for i, frequency := range frequencies {
			c, s := cosSin(float64(from+n) * frequency)
			cos[n*len(frequencies)+i], sin[n*len(frequencies)+i] = float32(c), float32(s)
		}
	}
}

// power returns base^e for 0 <= e < 1, as the product of those of base^(1/2), base^(1/4), ... whose binary digit in e is 1.
// There are only square roots and products, so a compiler has nothing to fuse.
func power(base, e float64) float64 {
	result := 1.0
	for e > 0 {
		base, e = math.Sqrt(base), 2*e
		if e >= 1 {
			result, e = result*base, e-1
		}
	}
	return result
}

// cosSin returns cos(x) and sin(x) for 0 <= x < 2^28: x is reduced to |r| <= π/4 with π/2 in three parts, then Taylor's series
// follows.
func cosSin(x float64) (cos, sin float64) {
	const (
		part1 = 1.57079625129699707031    // the first 24 bits of π/2: n·part1 is exact
		part2 = 7.54978941586159635335e-8 // the next 24
		part3 = 5.390302858158119e-15     // and the rest
	)
	n := math.RoundToEven(x * (2 / math.Pi))
	r := x - float64(n*part1)
	r -= float64(n * part2)
	r -= float64(n * part3)
	square := r * r
	cos, sin = 1, 1
	for k := 18.0; k > 0; k -= 2 {
		cos = 1 - float64(cos*square)/(k*(k-1))
		sin = 1 - float64(sin*square)/(k*(k+1))
	}
	sin *= r
	switch int(n) & 3 {
	case 1:
		return -sin, cos
	case 2:
		return -cos, -sin
	case 3:
		return sin, -cos
	}
	return cos, sin
}
