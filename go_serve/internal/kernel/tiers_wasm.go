package kernel

// fastTiers returns the tier of WebAssembly's 128-bit vectors, which all browsers have had since 2023: a program that
// holds them does not even start where they are missing.
func fastTiers() []*tier { return []*tier{&wasm} }

// wasm computes what costs most with vectors and the rest as the scalar tier does. A block is one token: with 16
// variables there is no room to keep weights for several.
var wasm = func() tier {
	t := scalar
	t.name, t.block = "wasm", 1
	t.q8, t.q4, t.f16, t.unfused = q8Wasm, q4Wasm, halfWasm, halfWasm
	t.q8Block = func(out []float32, _ int, x []byte, _ int, panel []byte) {
		q8Wasm(out[:lanes], x[:len(panel)/q8GroupBytes*groupBytesX], panel)
	}
	t.q4Block = func(out []float32, _ int, x []byte, _ int, panel []byte) {
		q4Wasm(out[:lanes], x[:len(panel)/q4GroupBytes*groupBytesX], panel)
	}
	t.f16Block = func(out []float32, _ int, x []float32, _ int, panel []byte, step int) {
		halfWasm(out[:lanes], x[:(len(panel)+step-1)/step], panel, 0, step)
	}
	t.unfusedBlock = t.f16Block
	return t
}()

func pause() {}

func readAll(data []byte) { readScalar(data) }

//go:noescape
func q8Wasm(out []float32, x, panels []byte)

//go:noescape
func q4Wasm(out []float32, x, panels []byte)

//go:noescape
func halfWasm(out, x []float32, panels []byte, stride, step int)
