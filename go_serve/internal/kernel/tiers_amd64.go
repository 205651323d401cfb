package kernel

// fastTiers returns the tiers that both the processor and the operating system support, the best first.
func fastTiers() []*tier {
	var found []*tier
	if has.avx512 {
		found = append(found, &avx512)
	}
	if has.avxvnni {
		found = append(found, &avxvnni)
	}
	if has.avx2 {
		found = append(found, &avx2)
	}
	if has.sse4 {
		found = append(found, &sse4)
	}
	return found
}

// sse4 is for processors without AVX2: Intel's Atoms, Celerons and Pentiums up to about 2020, all processors before 2013, and
// emulators.
var sse4 = oneByOne("sse4", q8SSE4, q4SSE4, halfSSE4)

var avx2 = tier{
	name:         "avx2",
	block:        4,
	q8:           q8AVX2,
	q4:           q4AVX2,
	f16:          f16AVX2,
	unfused:      unfusedAVX2,
	q8Block:      q8BlockAVX2,
	q4Block:      q4BlockAVX2,
	f16Block:     f16BlockAVX2,
	unfusedBlock: unfusedBlockAVX2,
	quantize:     quantizeAVX2,
	softmax:      softmaxAVX2,
	swiglu:       swigluAVX2,
	gelu:         geluAVX2,
	halves:       halvesAVX2,
}

// avxvnni uses the 256-bit VPDPBUSD of Intel's desktop and laptop processors since Alder Lake and of AMD's since Zen 5.
var avxvnni = avx2.with("avxvnni", func(t *tier) {
	t.q8, t.q4, t.q8Block, t.q4Block = q8AVXVNNI, q4AVXVNNI, q8BlockAVXVNNI, q4BlockAVXVNNI
})

var avx512 = avx2.with("avx512", func(t *tier) {
	t.block = 12
	t.q8, t.q4, t.q8Block, t.q4Block = q8AVX512, q4AVX512, q8BlockAVX512, q4BlockAVX512
	// f16 stays that of AVX2, which reads the weights in fewer streams: as fast with one thread, faster with two.
	t.unfused, t.f16Block, t.f16Pair, t.unfusedBlock = unfusedAVX512, f16BlockAVX512, f16PairAVX512, unfusedBlockAVX512
	t.softmax, t.swiglu, t.gelu = softmaxAVX512, swigluAVX512, geluAVX512
})

// with returns a copy of t under another name and with the changes.
func (t tier) with(name string, change func(*tier)) tier {
	t.name = name
	change(&t)
	return t
}

// features says which of the groups of instructions that the tiers need may be used.
type features struct {
	sse4    bool // SSSE3, SSE4.1
	avx2    bool // AVX2, FMA, F16C
	avxvnni bool // and AVX-VNNI
	avx512  bool // and AVX-512 F, BW, VL, VNNI
}

var has = detect()

func detect() features {
	top, _, _, _ := cpuid(0, 0)
	_, _, c1, _ := cpuid(1, 0)
	var f features
	const ssse3, sse41 = 1 << 9, 1 << 19
	f.sse4 = c1&(ssse3|sse41) == ssse3|sse41
	const fma, osxsave, avx, f16c = 1 << 12, 1 << 27, 1 << 28, 1 << 29
	const needed = fma | osxsave | avx | f16c
	if top < 7 || c1&needed != needed {
		return f
	}
	saved := xgetbv() // which registers the operating system saves
	leaves, b7, c7, _ := cpuid(7, 0)
	f.avx2 = saved&0b110 == 0b110 && b7&(1<<5) != 0
	if f.avx2 && leaves >= 1 {
		a71, _, _, _ := cpuid(7, 1)
		f.avxvnni = a71&(1<<4) != 0
	}
	const avx512f, avx512bw, avx512vl, vnni = 1 << 16, 1 << 30, 1 << 31, 1 << 11
	f.avx512 = f.avx2 && saved&0b11100110 == 0b11100110 &&
		b7&avx512f != 0 && b7&avx512bw != 0 && b7&avx512vl != 0 && c7&vnni != 0
	return f
}

func cpuid(leaf, sub uint32) (a, b, c, d uint32)

func xgetbv() uint32

// pause tells the processor that this is a waiting loop; it takes about 10 to 50 ns.
//
//go:noescape
func pause()

// The following functions are in assembly; tier says what each does.

//go:noescape
func q8SSE4(out []float32, x, panels []byte)

//go:noescape
func q4SSE4(out []float32, x, panels []byte)

//go:noescape
func halfSSE4(out, x []float32, panels []byte, stride, step int)

//go:noescape
func q8AVX2(out []float32, x, panels []byte)

//go:noescape
func q4AVX2(out []float32, x, panels []byte)

//go:noescape
func f16AVX2(out, x []float32, panels []byte, stride, step int)

//go:noescape
func unfusedAVX2(out, x []float32, panels []byte, stride, step int)

//go:noescape
func q8BlockAVX2(out []float32, outStride int, x []byte, xStride int, panel []byte)

//go:noescape
func q4BlockAVX2(out []float32, outStride int, x []byte, xStride int, panel []byte)

//go:noescape
func f16BlockAVX2(out []float32, outStride int, x []float32, xStride int, panel []byte, step int)

//go:noescape
func unfusedBlockAVX2(out []float32, outStride int, x []float32, xStride int, panel []byte, step int)

//go:noescape
func quantizeAVX2(dst []byte, x []float32)

//go:noescape
func softmaxAVX2(x []float32)

//go:noescape
func swigluAVX2(gate, up []float32)

//go:noescape
func geluAVX2(x []float32)

//go:noescape
func halvesAVX2(dst []byte, x []float32)

//go:noescape
func q8AVXVNNI(out []float32, x, panels []byte)

//go:noescape
func q4AVXVNNI(out []float32, x, panels []byte)

//go:noescape
func q8BlockAVXVNNI(out []float32, outStride int, x []byte, xStride int, panel []byte)

//go:noescape
func q4BlockAVXVNNI(out []float32, outStride int, x []byte, xStride int, panel []byte)

//go:noescape
func softmaxAVX512(x []float32)

//go:noescape
func swigluAVX512(gate, up []float32)

//go:noescape
func geluAVX512(x []float32)

//go:noescape
func q8AVX512(out []float32, x, panels []byte)

//go:noescape
func q4AVX512(out []float32, x, panels []byte)

//go:noescape
func unfusedAVX512(out, x []float32, panels []byte, stride, step int)

//go:noescape
func q8BlockAVX512(out []float32, outStride int, x []byte, xStride int, panel []byte)

//go:noescape
func q4BlockAVX512(out []float32, outStride int, x []byte, xStride int, panel []byte)

//go:noescape
func f16BlockAVX512(out []float32, outStride int, x []float32, xStride int, panel []byte, step int)

//go:noescape
func f16PairAVX512(out []float32, outStride int, x []float32, xStride int, panels []byte)

//go:noescape
func unfusedBlockAVX512(out []float32, outStride int, x []float32, xStride int, panel []byte, step int)

// readAll reads data, whose length is a multiple of 256.
func readAll(data []byte) {
	if has.avx2 {
		readAVX(data)
	} else {
		readScalar(data)
	}
}

//go:noescape
func readAVX(data []byte)
