package kernel

import "math"

// HalfToFloat returns the value of IEEE 754 binary16 bits; every one is exact in float32.
func HalfToFloat(bits uint16) float32 {
	sign := uint32(bits&0x8000) << 16
	if bits&0x7c00 == 0x7c00 { // infinity or NaN
		return math.Float32frombits(sign | 0xff<<23 | uint32(bits&1023)<<13)
	}
	// The shifted exponent is 112 too low; multiplying by 2^112 corrects that. It also holds for subnormal halves, which become
	// subnormal floats first.
	v := math.Float32frombits(uint32(bits&0x7fff)<<13) * (1 << 112)
	return math.Float32frombits(math.Float32bits(v) | sign)
}

// FloatToHalf returns the nearest binary16, ties to even, as the processors' own instructions do.
func FloatToHalf(v float32) uint16 {
	bits := math.Float32bits(v)
	sign := uint16(bits >> 16 & 0x8000)
	bits &= 0x7fffffff
	switch {
	case bits > 0xff<<23: // NaN: quiet, the top bits of its payload kept
		return sign | 0x7e00 | uint16(bits>>13&0x3ff)
	case bits >= 0x477ff000: // 65520 and more round to infinity
		return sign | 0x7c00
	case bits < 113<<23: // below 2^-14: subnormal. After adding 1/2 the last place of the sum is that of a subnormal half
		v := math.Float32frombits(bits) + 0.5
		return sign | uint16(math.Float32bits(v)-0x3f000000)
	}
	bits += 0xfff + bits>>13&1
	return sign | uint16((bits-112<<23)>>13)
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
