package kernel

import (
	"encoding/binary"
	"math"
)

// scalar is the tier in plain Go that defines the results. Explicit conversions like float32(a * b) keep the compiler
// from fusing a multiplication with the addition that follows (Go specification, "Floating-point operators").
var scalar = tier{
	name:         "scalar",
	block:        4,
	q8:           func(out []float32, x, panels []byte) { quantPanels(out, x, panels, q8GroupBytes, q8Weights) },
	q4:           func(out []float32, x, panels []byte) { quantPanels(out, x, panels, q4GroupBytes, q4Weights) },
	f16:          halfPanels,
	unfused:      halfPanels,
	q8Block:      quantBlock(q8GroupBytes, q8Weights),
	q4Block:      quantBlock(q4GroupBytes, q4Weights),
	f16Block:     halfBlock,
	unfusedBlock: halfBlock,
	quantize:     quantizeScalar,
	softmax:      softmaxScalar,
	swiglu:       swigluScalar,
	gelu:         geluScalar,
	halves:       halvesScalar,
}

// weights16 holds the unpacked values of one group of a panel: [quad][row][4].
type weights16 [8 * lanes * 4]uint8

// q8Weights returns the values as they are stored: value + 128.
func q8Weights(_ *weights16, group []byte) *weights16 { return (*weights16)(group) }

// q4Weights looks the codes up in codebook; byte j of double quad i holds byte j of quad i and of quad i+4.
func q4Weights(space *weights16, group []byte) *weights16 {
	for i, b := range group[:4*64] {
		space[i] = codebook[b&15]
		space[i+4*64] = codebook[b>>4]
	}
	return space
}

// quantPanels multiplies panels of groups, which are groupBytes long, by one quantised token.
func quantPanels(out []float32, x, panels []byte, groupBytes int, unpack func(*weights16, []byte) *weights16) {
	var space weights16
	for ; len(out) >= lanes; out = out[lanes:] {
		var acc [lanes]float32
		for at := 0; at < len(x); at += groupBytesX {
			quantGroup(&acc, x[at:], panels, unpack(&space, panels[2*lanes:]))
			panels = panels[groupBytes:]
		}
		copy(out, acc[:])
	}
}

func quantBlock(groupBytes int, unpack func(*weights16, []byte) *weights16) func([]float32, int, []byte, int, []byte) {
	return func(out []float32, outStride int, x []byte, xStride int, panel []byte) {
		var space weights16
		var acc [4][lanes]float32
		for g := 0; g*groupBytes < len(panel); g++ {
			group := panel[g*groupBytes:]
			w := unpack(&space, group[2*lanes:])
			for t := range acc {
				quantGroup(&acc[t], x[t*xStride+g*groupBytesX:], group, w)
			}
		}
		for t := range acc {
			copy(out[t*outStride:], acc[t][:])
		}
	}
}

// quantGroup adds one group's part to the sums of a panel's rows: acc += float(Σ value·a) · (scale·s).
func quantGroup(acc *[lanes]float32, x, scales []byte, w *weights16) {
	start := int32(binary.LittleEndian.Uint32(x[36:])) // -128·Σa: the weights are stored with 128 added
	var sums [lanes]int32
	for r := range sums {
		sums[r] = start
	}
	for quad := range 8 {
		a := x[4*quad : 4*quad+4]
		a0, a1, a2, a3 := int32(int8(a[0])), int32(int8(a[1])), int32(int8(a[2])), int32(int8(a[3]))
		for r := range sums {
			v := w[(quad*lanes+r)*4 : (quad*lanes+r)*4+4]
			sums[r] += int32(v[0])*a0 + int32(v[1])*a1 + int32(v[2])*a2 + int32(v[3])*a3
		}
	}
	s := math.Float32frombits(binary.LittleEndian.Uint32(x[32:]))
	for r, sum := range sums {
		scale := HalfToFloat(binary.LittleEndian.Uint16(scales[2*r:]))
		acc[r] += float32(float32(sum) * float32(scale*s))
	}
}

// halfPanels multiplies panels of fp16 values by one token.
func halfPanels(out, x []float32, panels []byte, stride, step int) {
	for ; len(out) >= lanes; out = out[lanes:] {
		halfBlockOf(1, out, 0, x, 0, panels[:(len(x)-1)*step+2*lanes], step)
		if len(out) > lanes {
			panels = panels[stride:]
		}
	}
}

func halfBlock(out []float32, outStride int, x []float32, xStride int, panel []byte, step int) {
	halfBlockOf(4, out, outStride, x, xStride, panel, step)
}

func halfBlockOf(tokens int, out []float32, outStride int, x []float32, xStride int, panel []byte, step int) {
	var acc [4][lanes]float32
	var w [lanes]float32
	for c := 0; c*step < len(panel); c++ {
		for r := range w {
			w[r] = HalfToFloat(binary.LittleEndian.Uint16(panel[c*step+2*r:]))
		}
		for t := range tokens {
			v := x[t*xStride+c]
			for r := range w {
				acc[t][r] += float32(w[r] * v)
			}
		}
	}
	for t := range tokens {
		copy(out[t*outStride:], acc[t][:])
	}
}

// quantizeScalar writes each group of 32 values as bytes, with its scale and -128·Σa.
func quantizeScalar(dst []byte, x []float32) {
	for len(x) >= groupSize {
		var top float32
		for _, v := range x[:groupSize] {
			top = max(top, float32(math.Abs(float64(v))))
		}
		var scale, inverse float32
		if !(top < tinyGroup) { // a NaN makes the scale a NaN, and so everything computed with it
			scale, inverse = top/127, 127/top
		}
		var sum int32
		for i, v := range x[:groupSize] {
			a := int32(math.RoundToEven(float64(float32(v * inverse))))
			dst[i] = byte(a)
			sum += a
		}
		binary.LittleEndian.PutUint32(dst[32:], math.Float32bits(scale))
		binary.LittleEndian.PutUint32(dst[36:], uint32(-128*sum))
		x, dst = x[groupSize:], dst[groupBytesX:]
	}
}

// softmaxScalar replaces x by exp(x) / Σ exp(x). The sum is made of eight parts, as a vector of eight would make it.
func softmaxScalar(x []float32) {
	top := x[0]
	for _, v := range x {
		top = max(top, v)
	}
	var parts [8]float32
	for i, v := range x {
		e := Exp(v - top)
		x[i] = e
		parts[i%8] += e
	}
	inverse := 1 / (((parts[0] + parts[4]) + (parts[2] + parts[6])) + ((parts[1] + parts[5]) + (parts[3] + parts[7])))
	for i := range x {
		x[i] *= inverse
	}
}

// swigluScalar writes silu(gate)·up to gate, where silu(v) = v / (1 + exp(-v)) (arXiv 2002.05202).
func swigluScalar(gate, up []float32) {
	for i, v := range gate {
		gate[i] = v / (1 + Exp(-v)) * up[i]
	}
}

// geluScalar replaces x by x·Φ(x), the exact form with erf (arXiv 1606.08415), where erf(z) for z >= 0 is
// 1 - t(a1 + t(a2 + t(a3 + t(a4 + t·a5))))·exp(-z²), t = 1/(1 + p·z), good to 1.5e-7 (Abramowitz and Stegun, 7.1.26).
func geluScalar(x []float32) {
	for i, v := range x {
		z := float32(math.Abs(float64(v))) * float32(math.Sqrt2/2)
		t := 1 / (1 + float32(erfP*z))
		p := float32(erfA5*t) + erfA4
		p = float32(p*t) + erfA3
		p = float32(p*t) + erfA2
		p = float32(p*t) + erfA1
		erf := 1 - float32(float32(p*t)*Exp(-float32(z*z)))
		half := float32(v * 0.5)
		x[i] = half + float32(float32(math.Abs(float64(half)))*erf) // erf is odd: v·erf(v/√2) = |v|·erf(|v|/√2)
	}
}

const (
	erfP  = 0.3275911
	erfA1 = 0.254829592
	erfA2 = -0.284496736
	erfA3 = 1.421413741
	erfA4 = -1.453152027
	erfA5 = 1.061405429
)

func halvesScalar(dst []byte, x []float32) {
	for i, v := range x {
		binary.LittleEndian.PutUint16(dst[2*i:], FloatToHalf(v))
	}
}
