package kernel

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
)

// BenchmarkProduct is one token or a block through a matrix of 2048×512 (in the second-level cache) or 32000×512 (not).
func BenchmarkProduct(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 1))
	for _, rows := range []int{2048, 32000} {
		for _, dtype := range []DType{F16, Q8, Q4} {
			m := randomMatrix(random, dtype, rows, 512, 0.1)
			for _, tokens := range []int{1, 96} {
				for _, name := range Names() {
					if name == "scalar" && runtime.GOARCH != "wasm" {
						continue
					}
					in := NewInput(dtype, 96, m.Cols)
					in.Reset(values(random, 96*512, 1), 512, tokens, 512)
					defer mustUse(name)()
					for t := range tokens {
						in.Prepare(t)
					}
					l := Linear{*m}
					out := make([]float32, 96*l.Width())
					var job MatMul
					pool := NewPool(1)
					b.Run(fmt.Sprintf("%d/%s/%d/%s", rows, dtype, tokens, name), func(b *testing.B) {
						for b.Loop() {
							job.Run(pool, l, in, out)
						}
						perSecond := float64(b.N) / b.Elapsed().Seconds()
						b.ReportMetric(perSecond*float64(len(m.Data))/1e9, "GB/s")
						b.ReportMetric(perSecond*2*float64(rows*512*tokens)/1e9, "Gop/s")
					})
				}
			}
		}
	}
}

// BenchmarkAttend is attention for one token of a model with 10 layers of 8 heads of 64, 320 positions back.
func BenchmarkAttend(b *testing.B) {
	for _, name := range Names() {
		if name == "scalar" && runtime.GOARCH != "wasm" {
			continue
		}
		b.Run(name, func(b *testing.B) {
			defer mustUse(name)()
			random := rand.New(rand.NewPCG(1, 1))
			row := values(random, 512, 1)
			out := make([]float32, 512)
			var layers []*Cache
			for range 10 {
				c := NewCache(8, 64, 1024)
				s := c.NewScratch()
				for p := range 320 {
					c.Store(p, row, row, s)
				}
				layers = append(layers, c)
			}
			s := layers[0].NewScratch()
			for b.Loop() {
				for _, c := range layers {
					for head := range 8 {
						c.Attend(out[64*head:], 512, row[64*head:], 512, head, 319, 1, s)
					}
				}
			}
			b.ReportMetric(float64(b.N)*10*320*512*4/b.Elapsed().Seconds()/1e9, "GB/s")
		})
	}
}
