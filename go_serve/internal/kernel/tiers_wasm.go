package kernel

// fastTiers returns the tier of WebAssembly's 128-bit vectors, which all browsers have had since 2023: a program that
// holds them does not even start where they are missing.
func fastTiers() []*tier { return []*tier{&wasm} }

// wasm has 16 variables for vectors, which leaves no room to keep weights for several tokens.
var wasm = oneByOne("wasm", q8Wasm, q4Wasm, halfWasm)

func pause() {}

func readAll(data []byte) { readScalar(data) }

//go:noescape
func q8Wasm(out []float32, x, panels []byte)

//go:noescape
func q4Wasm(out []float32, x, panels []byte)

//go:noescape
func halfWasm(out, x []float32, panels []byte, stride, step int)
