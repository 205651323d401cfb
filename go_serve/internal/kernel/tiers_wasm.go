package kernel

// fastTiers returns the tier for WebAssembly's 128-bit vectors, which all browsers have had since 2023: a program with such
// instructions does not even start in a browser without them.
func fastTiers() []*tier { return []*tier{&wasm} }

// wasm computes one token at a time: 16 variables for vectors leave no room to keep weights for several tokens.
var wasm = oneByOne("wasm", q8Wasm, q4Wasm, halfWasm)

func pause() {}

func readAll(data []byte) { readScalar(data) }

//go:noescape
func q8Wasm(out []float32, x, panels []byte)

//go:noescape
func q4Wasm(out []float32, x, panels []byte)

//go:noescape
func halfWasm(out, x []float32, panels []byte, stride, step int)
