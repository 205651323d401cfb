// The wasm tier: WebAssembly's vectors of 128 bits, which Go's own simd/archsimd does not offer in full (no i32x4.dot_i16x8_s).
// A vector holds 4 rows of 4 columns as bytes. The dot product of 8 pairs of 16-bit numbers gives two 32-bit sums per row,
// which are added at the end of a group. V0..V7 are the sums of the 16 rows, V10..V13 their results.

#include "textflag.h"

// ADDRESS puts the address in a register onto the stack.
#define ADDRESS(r) \
	Get r; \
	I32WrapI64

// ACTIVATIONS makes 8 numbers of 16 bits: the 4 bytes at x+at, twice.
#define ACTIVATIONS(at, v) \
	ADDRESS(R2); \
	I32Load $at; \
	I32x4Splat; \
	I16x8ExtendLowI8x16S; \
	Set v

// DOT adds the products of 16 weights (unsigned bytes of 4 rows) and the activations a to the sums of rows 0 and 1 and of rows
// 2 and 3.
#define DOT(weights, a, sum01, sum23) \
	Get weights; \
	I16x8ExtendLowI8x16U; \
	Get a; \
	I32x4DotI16x8S; \
	Get sum01; \
	I32x4Add; \
	Set sum01; \
	Get weights; \
	I16x8ExtendHighI8x16U; \
	Get a; \
	I32x4DotI16x8S; \
	Get sum23; \
	I32x4Add; \
	Set sum23

#define WEIGHTS(at) \
	ADDRESS(R4); \
	V128Load $at; \
	Set V9

// QUAD computes 4 columns of a q8 group.
#define QUAD(x, at) \
	ACTIVATIONS(x, V8); \
	WEIGHTS(at); \
	DOT(V9, V8, V0, V1); \
	WEIGHTS(at+16); \
	DOT(V9, V8, V2, V3); \
	WEIGHTS(at+32); \
	DOT(V9, V8, V4, V5); \
	WEIGHTS(at+48); \
	DOT(V9, V8, V6, V7)

// CODES looks up 4 columns of a double quad's low and high codes, and adds their products to the sums. The codebook is that of
// matrix.go, in the order of its bytes.
#define CODES(at, sum01, sum23) \
	WEIGHTS(at); \
	V128Const $0x766a5d4f3f2d1801, $0xf1d9c5b5a6998d81; \
	Get V9; \
	V128Const $0x0f0f0f0f0f0f0f0f, $0x0f0f0f0f0f0f0f0f; \
	V128And; \
	I8x16Swizzle; \
	Set V15; \
	DOT(V15, V8, sum01, sum23); \
	V128Const $0x766a5d4f3f2d1801, $0xf1d9c5b5a6998d81; \
	Get V9; \
	I32Const $4; \
	I8x16ShrU; \
	I8x16Swizzle; \
	Set V15; \
	DOT(V15, V14, sum01, sum23)

// DOUBLEQUAD computes 8 columns of a q4 group: those of a quad and of the fourth quad after it.
#define DOUBLEQUAD(x, at) \
	ACTIVATIONS(x, V8); \
	ACTIVATIONS(x+16, V14); \
	CODES(at, V0, V1); \
	CODES(at+16, V2, V3); \
	CODES(at+32, V4, V5); \
	CODES(at+48, V6, V7)

// FLOATS turns 4 fp16 numbers on the stack, sign-extended to 32 bits, into fp32, as HalfToFloat does: the shifted exponent is
// 112 too low and is corrected; that of infinities and NaNs is set separately.
#define FLOATS \
	I32Const $13; \
	I32x4Shl; \
	V128Const $0x8fffe0008fffe000, $0x8fffe0008fffe000; \
	V128And; \
	Set V9; \
	Get V9; \
	V128Const $0x7780000077800000, $0x7780000077800000; \
	F32x4Mul; \
	Get V9; \
	V128Const $0x0f8000000f800000, $0x0f8000000f800000; \
	V128And; \
	V128Const $0x0f8000000f800000, $0x0f8000000f800000; \
	I32x4Eq; \
	V128Const $0x7f8000007f800000, $0x7f8000007f800000; \
	V128And; \
	V128Or

#define ZERO(v) \
	V128Const $0, $0; \
	Set v

#define ZEROSUMS \
	ZERO(V0); \
	ZERO(V1); \
	ZERO(V2); \
	ZERO(V3); \
	ZERO(V4); \
	ZERO(V5); \
	ZERO(V6); \
	ZERO(V7)

// PAIRS adds the two parts of each sum; the even 32-bit numbers are the sums then.
#define PAIRS(v) \
	Get v; \
	Get v; \
	I32Const $32; \
	I64x2ShrU; \
	I32x4Add

// ROWS ends a group for 4 rows: acc += float(sums - 128·Σa) · (scale · s). V8 holds -128·Σa, V14 holds s.
#define ROWS(sum01, sum23, at, EXTEND, acc) \
	PAIRS(sum01); \
	V128Const $0x00000000ffffffff, $0x00000000ffffffff; \
	V128And; \
	PAIRS(sum23); \
	I32Const $32; \
	I64x2Shl; \
	V128Or; \
	V128Const $0x0b0a090803020100, $0x0f0e0d0c07060504; \
	I8x16Swizzle; \
	Get V8; \
	I32x4Add; \
	F32x4ConvertI32x4S; \
	ADDRESS(R4); \
	V128Load $at; \
	EXTEND; \
	FLOATS; \
	Get V14; \
	F32x4Mul; \
	F32x4Mul; \
	Get acc; \
	F32x4Add; \
	Set acc

#define GROUPEND \
	ADDRESS(R2); \
	I32Load $36; \
	I32x4Splat; \
	Set V8; \
	ADDRESS(R2); \
	F32Load $32; \
	F32x4Splat; \
	Set V14; \
	ROWS(V0, V1, 0, I32x4ExtendLowI16x8S, V10); \
	ROWS(V2, V3, 0, I32x4ExtendHighI16x8S, V11); \
	ROWS(V4, V5, 16, I32x4ExtendLowI16x8S, V12); \
	ROWS(V6, V7, 16, I32x4ExtendHighI16x8S, V13)

#define ADVANCE(r, n) \
	Get r; \
	I64Const $n; \
	I64Add; \
	Set r

#define STORE(at, v) \
	ADDRESS(R0); \
	Get v; \
	V128Store $0, $at

// ARGUMENTS: R0 out, R1 how many panels, R2 x, R3 its end, R4 panels, R5 the beginning of x.
#define ARGUMENTS \
	I64Load out_base+0(FP); \
	Set R0; \
	I64Load out_len+8(FP); \
	I64Const $4; \
	I64ShrU; \
	Set R1; \
	I64Load x_base+24(FP); \
	Set R5; \
	I64Load panels_base+48(FP); \
	Set R4

// QUANTPANELS is the whole of a q8 or q4 function; GROUP adds a group to the sums.
#define QUANTPANELS(GROUP, groupBytes) \
	ARGUMENTS; \
	Get R5; \
	I64Load x_len+32(FP); \
	I64Add; \
	Set R3; \
	Loop; \
	ZERO(V10); \
	ZERO(V11); \
	ZERO(V12); \
	ZERO(V13); \
	Get R5; \
	Set R2; \
	Loop; \
	ZEROSUMS; \
	GROUP; \
	GROUPEND; \
	ADVANCE(R4, groupBytes); \
	ADVANCE(R2, 40); \
	Get R2; \
	Get R3; \
	I64LtU; \
	BrIf $0; \
	End; \
	STORE(0, V10); \
	STORE(16, V11); \
	STORE(32, V12); \
	STORE(48, V13); \
	ADVANCE(R0, 64); \
	ADVANCE(R1, -1); \
	Get R1; \
	I64Eqz; \
	I32Eqz; \
	BrIf $0; \
	End; \
	RET

#define Q8GROUP \
	QUAD(0, 32); \
	QUAD(4, 96); \
	QUAD(8, 160); \
	QUAD(12, 224); \
	QUAD(16, 288); \
	QUAD(20, 352); \
	QUAD(24, 416); \
	QUAD(28, 480)

// func q8Wasm(out []float32, x, panels []byte)
TEXT ·q8Wasm(SB), NOSPLIT, $0-72
	QUANTPANELS(Q8GROUP, 544)

#define Q4GROUP \
	DOUBLEQUAD(0, 32); \
	DOUBLEQUAD(4, 96); \
	DOUBLEQUAD(8, 160); \
	DOUBLEQUAD(12, 224)

// func q4Wasm(out []float32, x, panels []byte)
TEXT ·q4Wasm(SB), NOSPLIT, $0-72
	QUANTPANELS(Q4GROUP, 288)

// COLUMN adds 4 rows of a column, times the activation in V8.
#define COLUMN(at, EXTEND, acc) \
	ADDRESS(R6); \
	V128Load $at; \
	EXTEND; \
	FLOATS; \
	Get V8; \
	F32x4Mul; \
	Get acc; \
	F32x4Add; \
	Set acc

// func halfWasm(out, x []float32, panels []byte, stride, step int)
TEXT ·halfWasm(SB), NOSPLIT, $0-88
	ARGUMENTS
	Get R5
	I64Load x_len+32(FP)
	I64Const $2
	I64Shl
	I64Add
	Set R3
	I64Load step+80(FP)
	Set R7

	Loop
	ZERO(V10)
	ZERO(V11)
	ZERO(V12)
	ZERO(V13)
	Get R5
	Set R2
	Get R4
	Set R6

	Loop
	ADDRESS(R2)
	F32Load $0
	F32x4Splat
	Set V8
	COLUMN(0, I32x4ExtendLowI16x8S, V10)
	COLUMN(0, I32x4ExtendHighI16x8S, V11)
	COLUMN(16, I32x4ExtendLowI16x8S, V12)
	COLUMN(16, I32x4ExtendHighI16x8S, V13)
	Get R6
	Get R7
	I64Add
	Set R6
	ADVANCE(R2, 4)
	Get R2
	Get R3
	I64LtU
	BrIf $0
	End

	STORE(0, V10)
	STORE(16, V11)
	STORE(32, V12)
	STORE(48, V13)
	ADVANCE(R0, 64)
	Get R4
	I64Load stride+72(FP)
	I64Add
	Set R4
	ADVANCE(R1, -1)
	Get R1
	I64Eqz
	I32Eqz
	BrIf $0
	End
	RET
