//go:build goexperiment.simd && amd64

package kernel

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"simd/archsimd"
	"testing"
)

// q8Archsimd is q8AVX2 written with Go's experimental simd/archsimd: the same instructions, but for the fp16 scales, which
// the scalar code converts, as the package has no such conversion. It has no VPDPBUSD either.
func q8Archsimd(out []float32, x, panels []byte) {
	flip, ones := archsimd.BroadcastUint8x32(0x80), archsimd.BroadcastInt16x16(1)
	var scales [lanes]float32
	for ; len(out) >= lanes; out = out[lanes:] {
		var acc0, acc1 archsimd.Float32x8
		for at := 0; at < len(x); at += groupBytesX {
			group, token := panels[:q8GroupBytes], x[at:at+groupBytesX]
			panels = panels[q8GroupBytes:]
			var sum0, sum1 archsimd.Int32x8
			for quad := range 8 {
				a := archsimd.BroadcastUint32x8(binary.LittleEndian.Uint32(token[4*quad:])).AsInt8x32()
				w0 := archsimd.LoadUint8x32(group[32+64*quad:]).Xor(flip).AsInt8x32()
				w1 := archsimd.LoadUint8x32(group[64+64*quad:]).Xor(flip).AsInt8x32()
				sum0 = sum0.Add(w0.Abs().AsUint8x32().DotProductPairsSaturated(a.MulSign(w0)).DotProductPairs(ones))
				sum1 = sum1.Add(w1.Abs().AsUint8x32().DotProductPairsSaturated(a.MulSign(w1)).DotProductPairs(ones))
			}
			for r := range scales {
				scales[r] = HalfToFloat(binary.LittleEndian.Uint16(group[2*r:]))
			}
			s := archsimd.BroadcastFloat32x8(math.Float32frombits(binary.LittleEndian.Uint32(token[32:])))
			acc0 = acc0.Add(sum0.ConvertToFloat32().Mul(archsimd.LoadFloat32x8(scales[:8]).Mul(s)))
			acc1 = acc1.Add(sum1.ConvertToFloat32().Mul(archsimd.LoadFloat32x8(scales[8:]).Mul(s)))
		}
		acc0.Store(out[:8])
		acc1.Store(out[8:16])
	}
}

// BenchmarkArchsimd compares one token through a q8 matrix of 2048×512 with the assembly of every tier:
//
//	GOEXPERIMENT=simd go test -run Archsimd -bench Archsimd ./internal/kernel
func BenchmarkArchsimd(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 1))
	m := randomMatrix(random, Q8, 2048, 512, 0.1)
	x := make([]byte, 512/groupSize*groupBytesX)
	scalar.quantize(x, values(random, 512, 1))
	out := make([]float32, 2048)
	run := func(name string, q8 func(out []float32, x, panels []byte)) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				q8(out, x, m.Data)
			}
			b.ReportMetric(float64(b.N)*float64(len(m.Data))/b.Elapsed().Seconds()/1e9, "GB/s")
		})
	}
	run("archsimd", q8Archsimd)
	for _, t := range tiers {
		run(t.name, t.q8)
	}
}

// TestArchsimd holds the comparison honest: the same bits.
func TestArchsimd(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 2))
	m := randomMatrix(random, Q8, 64, 96, 0.1)
	x := make([]byte, 96/groupSize*groupBytesX)
	scalar.quantize(x, values(random, 96, 1))
	got, want := make([]float32, 64), make([]float32, 64)
	q8Archsimd(got, x, m.Data)
	scalar.q8(want, x, m.Data)
	if err := sameBits(got, want); err != nil {
		t.Error(err)
	}
}
