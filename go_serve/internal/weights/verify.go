package weights

import (
	"bytes"
	"encoding/binary"
	"slices"

	"minitron/internal/fault"
)

// Verify reads all of the weights and checks that every value is one that a model may have. It only reads, so it may run beside
// whatever uses them.
func (s *Set) Verify() error {
	for _, t := range s.order {
		finite, known := true, true
		switch data := s.Tensor(t.Name); t.DType {
		case "f32":
			finite = finite32(data)
		case "f16":
			finite = finite16(data)
		case "q8":
			for group := range slices.Chunk(data, q8GroupBytes) {
				finite = finite && finite16(group[:scaleBytes])
				known = known && bytes.IndexByte(group[scaleBytes:], 0) < 0 // a stored 0 is the value -128: a kernel's sums might overflow
			}
		case "q4": // every code is a valid value
			for group := range slices.Chunk(data, q4GroupBytes) {
				finite = finite && finite16(group[:scaleBytes])
			}
		}
		switch {
		case !finite:
			return NotFinite(s.File(), t.Name)
		case !known:
			return fault.New("export the bundle again", "%s holds the value -128, which q8 does not have, in %q", s.File(), t.Name)
		}
	}
	return nil
}

// NotFinite returns the error for a tensor that holds an infinity or a NaN.
func NotFinite(file, tensor string) error {
	return fault.New("export a checkpoint from before the training diverged", "%s holds values that are not finite numbers, in %q", file, tensor)
}

// finite32 reports whether all fp32 values are finite. len(data) is a multiple of 4.
func finite32(data []byte) bool {
	for ; len(data) >= 4; data = data[4:] {
		if ^binary.LittleEndian.Uint32(data)&0x7f800000 == 0 {
			return false
		}
	}
	return true
}

// finite16 reports whether all fp16 values are finite. len(data) is a multiple of 32, the bytes of one column of a panel. It
// looks at four values at once: if all five exponent bits are set, adding the lowest of them carries into the sign bit.
func finite16(data []byte) bool {
	const exponents, lowest, signs = 0x7c007c007c007c00, 0x0400040004000400, 0x8000800080008000
	var carried uint64
	for ; len(data) >= 32; data = data[32:] {
		carried |= binary.LittleEndian.Uint64(data)&exponents + lowest
		carried |= binary.LittleEndian.Uint64(data[8:])&exponents + lowest
		carried |= binary.LittleEndian.Uint64(data[16:])&exponents + lowest
		carried |= binary.LittleEndian.Uint64(data[24:])&exponents + lowest
	}
	return carried&signs == 0
}
