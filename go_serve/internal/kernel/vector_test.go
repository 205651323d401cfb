package kernel

import (
	"math"
	"math/cmplx"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestVectorsEqualScalar compares all that is done element by element with the scalar tier, bit by bit.
func TestVectorsEqualScalar(t *testing.T) {
	eachFastTier(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(7, 8))
		for n := range 400 {
			scale := math.Pow(10, -42+80*random.Float64())
			if n%2 == 0 {
				scale = math.Pow(10, -2+4*random.Float64())
			}
			x, y := values(random, 16*(1+random.IntN(16)), scale), values(random, 256, scale)
			for _, f := range []struct {
				name string
				run  func(tier *tier, x []float32) []byte
			}{
				{"softmax", func(tier *tier, x []float32) []byte {
					for i := range n % 16 { // what attention does not see
						x[len(x)-1-i] = float32(math.Inf(-1))
					}
					tier.softmax(x)
					return nil
				}},
				{"swiglu", func(tier *tier, x []float32) []byte { tier.swiglu(x, y[:len(x)]); return nil }},
				{"gelu", func(tier *tier, x []float32) []byte { tier.gelu(x); return nil }},
				{"quantize", func(tier *tier, x []float32) []byte {
					dst := make([]byte, len(x)/groupSize*groupBytesX)
					if len(dst) > 0 {
						tier.quantize(dst, x[:len(x)/groupSize*groupSize])
					}
					return dst
				}},
				{"halves", func(tier *tier, x []float32) []byte {
					dst := make([]byte, 2*len(x))
					tier.halves(dst, x)
					return dst
				}},
			} {
				got, want := slices.Clone(x), slices.Clone(x)
				gotBytes, wantBytes := f.run(active, got), f.run(&scalar, want)
				if err := sameBits(got, want); err != nil {
					t.Fatalf("%s of %d values, scale %g: %v", f.name, len(x), scale, err)
				}
				if !slices.Equal(gotBytes, wantBytes) {
					t.Fatalf("%s of %d values, scale %g: other bytes\n%v\n%v", f.name, len(x), scale, gotBytes, wantBytes)
				}
			}
		}
	})
}

// TestFunctions compares with the definitions in float64.
func TestFunctions(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(11, 12))
		x, up := values(random, 512, 4), values(random, 512, 4)
		gelu, silu, soft := slices.Clone(x), slices.Clone(x), slices.Clone(x)
		GELU(gelu)
		SwiGLU(silu, up)
		active.softmax(soft)
		sum := 0.0
		for _, v := range x {
			sum += math.Exp(float64(v))
		}
		for i, v := range x {
			v := float64(v)
			for _, f := range []struct {
				name      string
				got, want float64
			}{
				{"gelu", float64(gelu[i]), v / 2 * (1 + math.Erf(v/math.Sqrt2))},
				{"swiglu", float64(silu[i]), v / (1 + math.Exp(-v)) * float64(up[i])},
				{"softmax", float64(soft[i]), math.Exp(v) / sum},
			} {
				if math.Abs(f.got-f.want) > 1e-6*(math.Abs(f.want)+1) {
					t.Fatalf("%s of %v is %v, want %v", f.name, v, f.got, f.want)
				}
			}
		}
	})
}

// TestRopeTable compares with math's functions.
func TestRopeTable(t *testing.T) {
	for _, theta := range []float64{10000, 500000, 3} {
		for _, h := range []int{2, 24, 64, 128} {
			cos, sin := RopeTable(0, 2000, h, theta)
			for i := range cos {
				position, pair := i/(h/2), i%(h/2)
				s, c := math.Sincos(float64(position) * math.Pow(theta, -2*float64(pair)/float64(h)))
				if math.Abs(float64(cos[i])-c) > 6.1e-8 || math.Abs(float64(sin[i])-s) > 6.1e-8 {
					t.Fatalf("theta %v, h %d, position %d, pair %d: %v %v, want %v %v", theta, h, position, pair, cos[i], sin[i], c, s)
				}
			}
		}
	}
}

// TestNorms compares with the definitions in float64, for all lengths up to 70 and odd ones above, also in place.
func TestNorms(t *testing.T) {
	random := rand.New(rand.NewPCG(23, 24))
	for n := 1; n < 600; n++ {
		if n > 70 && n%67 != 0 {
			continue
		}
		const eps = 1e-5
		x, weight, bias := values(random, n, 3), values(random, n, 1), values(random, n, 1)
		x[0] += 2 // the mean is not 0
		var sum, squares, variance float64
		for _, v := range x {
			sum += float64(v)
			squares += float64(v) * float64(v)
		}
		mean := sum / float64(n)
		for _, v := range x {
			variance += (float64(v) - mean) * (float64(v) - mean) / float64(n)
		}
		rms, layer, plain := make([]float32, n), make([]float32, n), slices.Clone(x)
		RMSNorm(rms, x, weight, eps)
		LayerNorm(layer, x, weight, bias, eps)
		LayerNorm(plain, plain, weight, nil, eps)
		for i, v := range x {
			w := float64(weight[i])
			scaled := (float64(v) - mean) / math.Sqrt(variance+eps) * w
			for _, f := range []struct {
				name      string
				got, want float64
			}{
				{"RMSNorm", float64(rms[i]), float64(v) / math.Sqrt(squares/float64(n)+eps) * w},
				{"LayerNorm", float64(layer[i]), scaled + float64(bias[i])},
				{"LayerNorm without a bias, in place,", float64(plain[i]), scaled},
			} {
				if tolerance := 1e-6 * (math.Abs(f.want) + math.Abs(w)); math.Abs(f.got-f.want) > tolerance {
					t.Fatalf("%s of %d values: value %d is %v, want %v", f.name, n, i, f.got, f.want)
				}
			}
		}
		RMSNorm(x, x, weight, eps)
		if err := sameBits(x, rms); err != nil {
			t.Fatalf("RMSNorm of %d values in place: %v", n, err)
		}
	}
}

// TestRope compares with the multiplication of complex numbers: elements i and i + h/2 are the parts of one, which turns by
// the angle of its pair.
func TestRope(t *testing.T) {
	random := rand.New(rand.NewPCG(25, 26))
	for _, h := range []int{2, 6, 16, 48, 64, 100} {
		head, angles := values(random, h, 1), values(random, h/2, 3)
		cos, sin := make([]float32, h/2), make([]float32, h/2)
		for i, angle := range angles {
			s, c := math.Sincos(float64(angle))
			cos[i], sin[i] = float32(c), float32(s)
		}
		got := slices.Clone(head)
		Rope(got, cos, sin)
		for i, angle := range angles {
			want := complex(float64(head[i]), float64(head[i+h/2])) * cmplx.Rect(1, float64(angle))
			if cmplx.Abs(complex(float64(got[i]), float64(got[i+h/2]))-want) > 1e-6 {
				t.Fatalf("a head of %d: pair %d is %v and %v, want %v", h, i, got[i], got[i+h/2], want)
			}
		}
	}
}
