package kernel

import "math"

// HalfToFloat returns the value of IEEE 754 binary16 bits as float32; every binary16 value is exact in float32.
func HalfToFloat(bits uint16) float32 {
	sign := uint32(bits&0x8000) << 16
	exponent := uint32(bits>>10) & 31
	mantissa := uint32(bits & 1023)
	switch exponent {
	case 0: // zero or subnormal: mantissa · 2^-24
		v := float32(mantissa) * (1.0 / (1 << 24))
		return math.Float32frombits(math.Float32bits(v) | sign)
	case 31: // infinity or NaN
		return math.Float32frombits(sign | 0xff<<23 | mantissa<<13)
	}
	return math.Float32frombits(sign | (exponent+112)<<23 | mantissa<<13)
}

// halves holds the float32 of all 65,536 binary16 values: one load beats the branches above.
var halves = func() *[1 << 16]float32 {
	var table [1 << 16]float32
	for i := range table {
		table[i] = HalfToFloat(uint16(i))
	}
	return &table
}()

// HalvesToFloats converts little-endian binary16 values, 2·len(dst) bytes of src, and reports whether all are finite.
func HalvesToFloats(dst []float32, src []byte) bool {
	src = src[:2*len(dst)]
	var worst uint16
	for i := range dst {
		bits := uint16(src[2*i]) | uint16(src[2*i+1])<<8
		worst = max(worst, bits&0x7fff)
		dst[i] = halves[bits]
	}
	return worst < 0x7c00
}

// BytesToFloats reads little-endian binary32 values, 4·len(dst) bytes of src, and reports whether all are finite.
func BytesToFloats(dst []float32, src []byte) bool {
	src = src[:4*len(dst)]
	var worst uint32
	for i := range dst {
		b := src[4*i : 4*i+4]
		bits := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
		worst = max(worst, bits&0x7fffffff)
		dst[i] = math.Float32frombits(bits)
	}
	return worst < 0x7f800000
}
