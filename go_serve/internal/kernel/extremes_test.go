package kernel

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// TestUnfusedEqualsScalar compares the products of attention, which no tier may fuse, with the scalar tier, bit by bit.
func TestUnfusedEqualsScalar(t *testing.T) {
	eachFastTier(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(9, 10))
		for range 100 {
			panels, cols, gap := 1+random.IntN(9), 1+random.IntN(150), 2*lanes*random.IntN(3)
			stride, step := 2*lanes*cols+gap, 2*lanes // one panel after the other, as keys
			if random.IntN(2) == 0 {
				stride, step = 2*lanes, 2*lanes*panels+gap // side by side, as values
			}
			data := make([]byte, (panels-1)*stride+(cols-1)*step+2*lanes)
			for i := 0; i < len(data); i += 2 {
				binary.LittleEndian.PutUint16(data[i:], FloatToHalf(float32(random.NormFloat64())))
			}
			xStride, outStride := cols+random.IntN(20), lanes*panels+random.IntN(20)
			x := values(random, Block*xStride, 1)
			for _, f := range []struct {
				name string
				run  func(tier *tier, out []float32)
			}{
				{"unfused", func(tier *tier, out []float32) { tier.unfused(out[:lanes*panels], x[:cols], data, stride, step) }},
				{"unfusedBlock", func(tier *tier, out []float32) {
					for at := 0; at < Block; at += tier.block {
						tier.unfusedBlock(out[at*outStride:], outStride, x[at*xStride:], xStride, data[:(cols-1)*step+2*lanes], step)
					}
				}},
			} {
				got, want := make([]float32, Block*outStride), make([]float32, Block*outStride)
				f.run(active, got)
				f.run(&scalar, want)
				if err := sameBits(got, want); err != nil {
					t.Fatalf("%s, %d panels of %d columns: %v", f.name, panels, cols, err)
				}
			}
		}
	})
}

// TestExtremes multiplies the largest weights by the largest activations in all mixtures of signs: a tier whose
// intermediate sums have too few bits shows here.
func TestExtremes(t *testing.T) {
	eachFastTier(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(13, 14))
		for n := range 64 {
			dtype := []DType{Q8, Q4}[n%2]
			m := randomMatrix(random, dtype, 32, 96, 1)
			size := map[DType]int{Q8: q8GroupBytes, Q4: q4GroupBytes}[dtype]
			ends := map[DType][]byte{Q8: {1, 255}, Q4: {0x00, 0x0f, 0xf0, 0xff}}[dtype]
			positive := []float64{0, 0.5, 1, 0.9}[n/2%4] // how many of the signs
			for i := range m.Data {
				if i%size >= 2*lanes {
					m.Data[i] = ends[random.IntN(len(ends))]
					if n%3 == 0 {
						m.Data[i] = ends[0]
					}
				}
			}
			x := make([]float32, 16*m.Cols)
			for i := range x {
				x[i] = -3
				if random.Float64() < positive {
					x[i] = 3
				}
			}
			got, one := product(m, x, 16), product(m, x[:m.Cols], 1)
			restore := mustUse("scalar")
			want := product(m, x, 16)
			restore()
			if err := sameBits(got, want); err != nil {
				t.Fatalf("%s: %v", dtype, err)
			}
			if err := sameBits(one, want[:m.Rows]); err != nil {
				t.Fatalf("%s, one token: %v", dtype, err)
			}
		}
	})
}
