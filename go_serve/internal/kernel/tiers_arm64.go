package kernel

// fastTiers returns the tiers that both the processor and the operating system support, the best first. NEON itself is
// part of every ARMv8 processor.
func fastTiers() []*tier {
	if hasDot() {
		return []*tier{&neonDot, &neon}
	}
	return []*tier{&neon}
}

var neon = tier{
	name:         "neon",
	block:        4,
	q8:           q8NEON,
	q4:           q4NEON,
	f16:          f16NEON,
	unfused:      unfusedNEON,
	q8Block:      q8BlockNEON,
	q4Block:      q4BlockNEON,
	f16Block:     f16BlockNEON,
	unfusedBlock: unfusedBlockNEON,
	quantize:     quantizeNEON,
	softmax:      softmaxNEON,
	swiglu:       swigluNEON,
	gelu:         geluNEON,
	halves:       halvesNEON,
}

// neonDot uses SDOT, which is an option of ARMv8.2 and a part of ARMv8.4.
var neonDot = func() tier {
	t := neon
	t.name = "neon-dot"
	t.q8, t.q4, t.q8Block, t.q4Block = q8Dot, q4Dot, q8BlockDot, q4BlockDot
	return t
}()

// pause tells the processor that this is a waiting loop; it takes about 10 to 50 ns.
//
//go:noescape
func pause()

// The following functions are in assembly; tier says what each does.

//go:noescape
func q8NEON(out []float32, x, panels []byte)

//go:noescape
func q4NEON(out []float32, x, panels []byte)

//go:noescape
func f16NEON(out, x []float32, panels []byte, stride, step int)

//go:noescape
func unfusedNEON(out, x []float32, panels []byte, stride, step int)

//go:noescape
func q8BlockNEON(out []float32, outStride int, x []byte, xStride int, panel []byte)

//go:noescape
func q4BlockNEON(out []float32, outStride int, x []byte, xStride int, panel []byte)

//go:noescape
func f16BlockNEON(out []float32, outStride int, x []float32, xStride int, panel []byte, step int)

//go:noescape
func unfusedBlockNEON(out []float32, outStride int, x []float32, xStride int, panel []byte, step int)

//go:noescape
func quantizeNEON(dst []byte, x []float32)

//go:noescape
func softmaxNEON(x []float32)

//go:noescape
func swigluNEON(gate, up []float32)

//go:noescape
func geluNEON(x []float32)

//go:noescape
func halvesNEON(dst []byte, x []float32)

//go:noescape
func q8Dot(out []float32, x, panels []byte)

//go:noescape
func q4Dot(out []float32, x, panels []byte)

//go:noescape
func q8BlockDot(out []float32, outStride int, x []byte, xStride int, panel []byte)

//go:noescape
func q4BlockDot(out []float32, outStride int, x []byte, xStride int, panel []byte)

// readAll reads data, whose length is a multiple of 256.
func readAll(data []byte) { readNEON(data) }

//go:noescape
func readNEON(data []byte)
