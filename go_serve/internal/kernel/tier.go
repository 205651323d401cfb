package kernel

import (
	"slices"
	"strings"

	"minitron/internal/fault"
)

// tier is one way to compute the inner loops. The scalar tier defines the results; the others give the same bits, except for
// f16 and f16Block, where a tier may fuse multiplication and addition. All slices must hold at least what the loops read;
// nothing is checked here.
type tier struct {
	name  string
	block int // how many tokens the functions named ...Block compute at once

	// For one token: out[16·p + r] = row r of panel p times x. q8 and q4 take x as quantize wrote it. f16 and unfused take
	// len(x) columns of fp16; panels begin stride bytes apart, the columns of a panel step bytes apart. unfused, which
	// attention uses, rounds every product.
	q8, q4       func(out []float32, x, panels []byte)
	f16, unfused func(out, x []float32, panels []byte, stride, step int)

	// For block tokens and one panel: out[t·outStride + r] = row r times token t, whose values begin at x[t·xStride].
	q8Block, q4Block       func(out []float32, outStride int, x []byte, xStride int, panel []byte)
	f16Block, unfusedBlock func(out []float32, outStride int, x []float32, xStride int, panel []byte, step int)

	// f16Block for two panels at once, or nil if that is not faster. The panels stand one behind the other, and so do their
	// columns.
	f16Pair func(out []float32, outStride int, x []float32, xStride int, panels []byte)

	// Element by element; lengths are multiples of 16.
	quantize func(dst []byte, x []float32) // len(x) a multiple of 32
	softmax  func(x []float32)
	swiglu   func(gate, up []float32)
	gelu     func(x []float32)
	halves   func(dst []byte, x []float32)
}

// oneByOne makes a tier of three products that compute one token at a time, for processors with too few vector registers to
// keep weights for several tokens. The products, which cost most, are fast; the rest is the scalar tier's. half rounds every
// product.
func oneByOne(name string, q8, q4 func(out []float32, x, panels []byte), half func(out, x []float32, panels []byte, stride, step int)) tier {
	t := scalar
	t.name, t.block = name, 1
	t.q8, t.q4, t.f16, t.unfused = q8, q4, half, half
	t.q8Block = func(out []float32, _ int, x []byte, _ int, panel []byte) {
		q8(out[:lanes], x[:len(panel)/q8GroupBytes*groupBytesX], panel)
	}
	t.q4Block = func(out []float32, _ int, x []byte, _ int, panel []byte) {
		q4(out[:lanes], x[:len(panel)/q4GroupBytes*groupBytesX], panel)
	}
	t.f16Block = func(out []float32, _ int, x []float32, _ int, panel []byte, step int) {
		half(out[:lanes], x[:(len(panel)+step-1)/step], panel, 0, step)
	}
	t.unfusedBlock = t.f16Block
	return t
}

// tiers holds what this processor and system can run, the best first; the scalar one is always last.
var tiers = append(fastTiers(), &scalar)

var active = tiers[0]

// Name returns the name of the tier in use.
func Name() string { return active.name }

// Names returns the tiers that this processor can run, the best first.
func Names() []string {
	var names []string
	for _, t := range tiers {
		names = append(names, t.name)
	}
	return names
}

// Use chooses a tier by its name, for all computations from now on. It must not be called while any is running.
func Use(name string) error {
	i := slices.IndexFunc(tiers, func(t *tier) bool { return t.name == name })
	if i < 0 {
		return fault.New("this processor can run: "+strings.Join(Names(), ", "), "there is no kernel %q here", name)
	}
	active = tiers[i]
	return nil
}
