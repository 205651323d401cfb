#include "textflag.h"

// q8 and q4, with SDOT or, for processors without it, with 16-bit products. Both give the same exact integer sums. Weights are
// stored with 128 added; x ^ 128 makes them signed, so that sums begin at 0 and the token's -128·Σa is not needed. A register
// of weights holds 4 rows × 4 columns of a quad; quads are taken in pairs, i and i+4, as q4 stores them.

// Instructions that Go's assembler does not know, by the numbers of their registers:
//	SDOT    sdot   vd.4s, vn.16b, vm.4b[i]   d += for each of 4 rows Σ of 4 products with the four bytes i of m
//	SADALP  sadalp vd.4s, vn.8h              d += sums of two neighbours
//	FCVTL   fcvtl  vd.4s, vn.4h              four halves to floats
//	FCVTL2  fcvtl2 vd.4s, vn.8h              the upper four
#define SDOT(m, i, n, d) WORD $(0x4f80e000 | (i&1)<<21 | (i>>1)<<11 | m<<16 | n<<5 | d)
#define SADALP(n, d) WORD $(0x4e606800 | n<<5 | d)
#define FCVTL(n, d) WORD $(0x0e217800 | n<<5 | d)
#define FCVTL2(n, d) WORD $(0x4e217800 | n<<5 | d)

// V29 is what LOAD_* need: 128s to turn stored bytes into signed ones, or the mask of the low four bits. V28 is the codebook,
// turned already.
#define CONSTANTS_Q8 \
	VMOVI $128, V29.B16

#define CONSTANTS_Q4 \
	MOVD  $·codebook(SB), R25; \
	FMOVQ (R25), F28; \
	VMOVI $128, V29.B16; \
	VEOR  V29.B16, V28.B16, V28.B16; \
	VMOVI $15, V29.B16

#define FLIP2(w0, w1) \
	VEOR V29.B16, w0.B16, w0.B16; \
	VEOR V29.B16, w1.B16, w1.B16

// UNPACK looks up 16 double codes: low gets quad i, high quad i+4.
#define UNPACK(low, high) \
	VUSHR $4, low.B16, high.B16; \
	VAND  V29.B16, low.B16, low.B16; \
	VTBL  high.B16, [V28.B16], high.B16; \
	VTBL  low.B16, [V28.B16], low.B16

#define CLEAR8(r0, r1, r2, r3, r4, r5, r6, r7) \
	VMOVI $0, r0.B16; \
	VMOVI $0, r1.B16; \
	VMOVI $0, r2.B16; \
	VMOVI $0, r3.B16; \
	VMOVI $0, r4.B16; \
	VMOVI $0, r5.B16; \
	VMOVI $0, r6.B16; \
	VMOVI $0, r7.B16

// MULTIPLY is for processors without SDOT. It multiplies weights of 2 × 4 rows: w of quad i by V30, u of quad i+4 by V31, in
// which the activations are repeated four times. The sum of two products of a signed byte and a number in -127 ... 127 fits in
// 16 bits. The sums numbered s0 to s3 hold two rows each, in two parts per row.
#define MULTIPLY(w0, w1, u0, u1, s0, s1, s2, s3) \
	VSMULL  V30.B8, w0.B8, V24.H8; \
	VSMULL2 V30.B16, w0.B16, V25.H8; \
	VSMULL  V30.B8, w1.B8, V26.H8; \
	VSMULL2 V30.B16, w1.B16, V27.H8; \
	VSMLAL  V31.B8, u0.B8, V24.H8; \
	VSMLAL2 V31.B16, u0.B16, V25.H8; \
	VSMLAL  V31.B8, u1.B8, V26.H8; \
	VSMLAL2 V31.B16, u1.B16, V27.H8; \
	SADALP(24, s0); \
	SADALP(25, s1); \
	SADALP(26, s2); \
	SADALP(27, s3)

// One token: R4 is the group, R5 the token's. V16 to V19 are the weights of quad i, V20 to V23 those of quad i+4, V8 and V9
// the activations, V0 to V7 the sums (at the end V0 to V3), V10 to V13 the results.

#define LOAD1_Q8(i) \
	FLDPQ 32+64*i(R4), (F16, F17); \
	FLDPQ 64+64*i(R4), (F18, F19); \
	FLDPQ 288+64*i(R4), (F20, F21); \
	FLDPQ 320+64*i(R4), (F22, F23); \
	FLIP2(V16, V17); \
	FLIP2(V18, V19); \
	FLIP2(V20, V21); \
	FLIP2(V22, V23)

#define LOAD1_Q4(i) \
	FLDPQ 32+64*i(R4), (F16, F17); \
	FLDPQ 64+64*i(R4), (F18, F19); \
	UNPACK(V16, V20); \
	UNPACK(V17, V21); \
	UNPACK(V18, V22); \
	UNPACK(V19, V23)

#define PRODUCT1_NEON(i) \
	VDUP V8.S[i], V30.S4; \
	VDUP V9.S[i], V31.S4; \
	MULTIPLY(V16, V17, V20, V21, 0, 1, 2, 3); \
	MULTIPLY(V18, V19, V22, V23, 4, 5, 6, 7)

#define FINISH1_NEON \
	VADDP V1.S4, V0.S4, V0.S4; \
	VADDP V3.S4, V2.S4, V1.S4; \
	VADDP V5.S4, V4.S4, V2.S4; \
	VADDP V7.S4, V6.S4, V3.S4

#define PRODUCT1_DOT(i) \
	SDOT(8, i, 16, 0); \
	SDOT(8, i, 17, 1); \
	SDOT(8, i, 18, 2); \
	SDOT(8, i, 19, 3); \
	SDOT(9, i, 20, 4); \
	SDOT(9, i, 21, 5); \
	SDOT(9, i, 22, 6); \
	SDOT(9, i, 23, 7)

#define FINISH1_DOT \
	VADD V4.S4, V0.S4, V0.S4; \
	VADD V5.S4, V1.S4, V1.S4; \
	VADD V6.S4, V2.S4, V2.S4; \
	VADD V7.S4, V3.S4, V3.S4

// The end of a group: results += float(sum) · (scales · s), each operation rounded (docs/formats.md).
#define ONE_TOKEN(CONSTANTS, LOAD, PRODUCT, FINISH, bytes) \
	ADD    R2, R3, R3; \
	CONSTANTS; \
panel: \
	MOVD   R2, R5; \
	VMOVI  $0, V10.B16; \
	VMOVI  $0, V11.B16; \
	VMOVI  $0, V12.B16; \
	VMOVI  $0, V13.B16; \
group: \
	CLEAR8(V0, V1, V2, V3, V4, V5, V6, V7); \
	FLDPQ  (R5), (F8, F9); \
	LOAD(0); \
	PRODUCT(0); \
	LOAD(1); \
	PRODUCT(1); \
	LOAD(2); \
	PRODUCT(2); \
	LOAD(3); \
	PRODUCT(3); \
	FLDPQ  (R4), (F20, F22); \
	FMOVS  32(R5), F24; \
	FINISH; \
	VDUP   V24.S[0], V24.S4; \
	FCVTL2(20, 21); \
	FCVTL(20, 20); \
	FCVTL2(22, 23); \
	FCVTL(22, 22); \
	VSCVTF V0.S4, V0.S4; \
	VSCVTF V1.S4, V1.S4; \
	VSCVTF V2.S4, V2.S4; \
	VSCVTF V3.S4, V3.S4; \
	VFMUL  V24.S4, V20.S4, V20.S4; \
	VFMUL  V24.S4, V21.S4, V21.S4; \
	VFMUL  V24.S4, V22.S4, V22.S4; \
	VFMUL  V24.S4, V23.S4, V23.S4; \
	VFMUL  V20.S4, V0.S4, V0.S4; \
	VFMUL  V21.S4, V1.S4, V1.S4; \
	VFMUL  V22.S4, V2.S4, V2.S4; \
	VFMUL  V23.S4, V3.S4, V3.S4; \
	VFADD  V0.S4, V10.S4, V10.S4; \
	VFADD  V1.S4, V11.S4, V11.S4; \
	VFADD  V2.S4, V12.S4, V12.S4; \
	VFADD  V3.S4, V13.S4, V13.S4; \
	ADD    bytes, R4; \
	ADD    $40, R5; \
	CMP    R3, R5; \
	BLO    group; \
	FSTPQ  (F10, F11), (R0); \
	FSTPQ  (F12, F13), 32(R0); \
	ADD    $64, R0; \
	SUBS   $16, R1; \
	BGT    panel; \
	RET

// func q8NEON(out []float32, x, panels []byte)
TEXT ·q8NEON(SB), NOSPLIT, $0-72
	MOVD out_base+0(FP), R0
	MOVD out_len+8(FP), R1
	MOVD x_base+24(FP), R2
	MOVD x_len+32(FP), R3
	MOVD panels_base+48(FP), R4
	ONE_TOKEN(CONSTANTS_Q8, LOAD1_Q8, PRODUCT1_NEON, FINISH1_NEON, $544)

// func q4NEON(out []float32, x, panels []byte)
TEXT ·q4NEON(SB), NOSPLIT, $0-72
	MOVD out_base+0(FP), R0
	MOVD out_len+8(FP), R1
	MOVD x_base+24(FP), R2
	MOVD x_len+32(FP), R3
	MOVD panels_base+48(FP), R4
	ONE_TOKEN(CONSTANTS_Q4, LOAD1_Q4, PRODUCT1_NEON, FINISH1_NEON, $288)

// func q8Dot(out []float32, x, panels []byte)
TEXT ·q8Dot(SB), NOSPLIT, $0-72
	MOVD out_base+0(FP), R0
	MOVD out_len+8(FP), R1
	MOVD x_base+24(FP), R2
	MOVD x_len+32(FP), R3
	MOVD panels_base+48(FP), R4
	ONE_TOKEN(CONSTANTS_Q8, LOAD1_Q8, PRODUCT1_DOT, FINISH1_DOT, $544)

// func q4Dot(out []float32, x, panels []byte)
TEXT ·q4Dot(SB), NOSPLIT, $0-72
	MOVD out_base+0(FP), R0
	MOVD out_len+8(FP), R1
	MOVD x_base+24(FP), R2
	MOVD x_len+32(FP), R3
	MOVD panels_base+48(FP), R4
	ONE_TOKEN(CONSTANTS_Q4, LOAD1_Q4, PRODUCT1_DOT, FINISH1_DOT, $288)

// Four tokens, half a panel (8 rows) at a time. R19 points at the group's scales for that half, R20 at its weights, R5 to R8 at
// the tokens, R21 to R24 at their outputs, which hold the results so far because there are too few registers. V16 and V17 are
// the weights of quad i, V18 and V19 those of quad i+4. At the end V0 and V1 are the sums of the first token, and so on up to
// V7.

#define LOAD4_Q8(i) \
	FLDPQ 64*i(R20), (F16, F17); \
	FLDPQ 256+64*i(R20), (F18, F19); \
	FLIP2(V16, V17); \
	FLIP2(V18, V19)

#define LOAD4_Q4(i) \
	FLDPQ 64*i(R20), (F16, F17); \
	UNPACK(V16, V18); \
	UNPACK(V17, V19)

// Without SDOT: V0 to V15 are the sums, R9 to R12 read the tokens' quads i, R13 to R16 their quads i+4.
#define START4_NEON \
	MOVD R5, R9; \
	MOVD R6, R10; \
	MOVD R7, R11; \
	MOVD R8, R12; \
	ADD  $16, R5, R13; \
	ADD  $16, R6, R14; \
	ADD  $16, R7, R15; \
	ADD  $16, R8, R16; \
	CLEAR8(V0, V1, V2, V3, V4, V5, V6, V7); \
	CLEAR8(V8, V9, V10, V11, V12, V13, V14, V15)

#define PRODUCT4_NEON(i) \
	VLD1R.P 4(R9), [V30.S4]; \
	VLD1R.P 4(R13), [V31.S4]; \
	MULTIPLY(V16, V17, V18, V19, 0, 1, 2, 3); \
	VLD1R.P 4(R10), [V30.S4]; \
	VLD1R.P 4(R14), [V31.S4]; \
	MULTIPLY(V16, V17, V18, V19, 4, 5, 6, 7); \
	VLD1R.P 4(R11), [V30.S4]; \
	VLD1R.P 4(R15), [V31.S4]; \
	MULTIPLY(V16, V17, V18, V19, 8, 9, 10, 11); \
	VLD1R.P 4(R12), [V30.S4]; \
	VLD1R.P 4(R16), [V31.S4]; \
	MULTIPLY(V16, V17, V18, V19, 12, 13, 14, 15)

#define FINISH4_NEON \
	FINISH1_NEON; \
	VADDP V9.S4, V8.S4, V4.S4; \
	VADDP V11.S4, V10.S4, V5.S4; \
	VADDP V13.S4, V12.S4, V6.S4; \
	VADDP V15.S4, V14.S4, V7.S4

// With SDOT: V8 to V15 are the activations.
#define START4_DOT \
	CLEAR8(V0, V1, V2, V3, V4, V5, V6, V7); \
	FLDPQ (R5), (F8, F9); \
	FLDPQ (R6), (F10, F11); \
	FLDPQ (R7), (F12, F13); \
	FLDPQ (R8), (F14, F15)

#define PRODUCT4_DOT(i) \
	SDOT(8, i, 16, 0); \
	SDOT(8, i, 17, 1); \
	SDOT(10, i, 16, 2); \
	SDOT(10, i, 17, 3); \
	SDOT(12, i, 16, 4); \
	SDOT(12, i, 17, 5); \
	SDOT(14, i, 16, 6); \
	SDOT(14, i, 17, 7); \
	SDOT(9, i, 18, 0); \
	SDOT(9, i, 19, 1); \
	SDOT(11, i, 18, 2); \
	SDOT(11, i, 19, 3); \
	SDOT(13, i, 18, 4); \
	SDOT(13, i, 19, 5); \
	SDOT(15, i, 18, 6); \
	SDOT(15, i, 19, 7)

#define FINISH4_DOT

// FACTORS computes a token's sums as floats, and p, q = scales (V16, V17) · the token's s. RESULTS adds their products to the
// output.
#define FACTORS(x, fs, s, sum0, sum1, p, q) \
	FMOVS  32(x), fs; \
	VDUP   s.S[0], s.S4; \
	VSCVTF sum0.S4, sum0.S4; \
	VSCVTF sum1.S4, sum1.S4; \
	VFMUL  s.S4, V16.S4, p.S4; \
	VFMUL  s.S4, V17.S4, q.S4

#define RESULTS(sum0, sum1, p, q, fp, fq, out) \
	VFMUL p.S4, sum0.S4, sum0.S4; \
	VFMUL q.S4, sum1.S4, sum1.S4; \
	FLDPQ (out), (fp, fq); \
	VFADD sum0.S4, p.S4, p.S4; \
	VFADD sum1.S4, q.S4, q.S4; \
	FSTPQ (fp, fq), (out)

#define FOUR_TOKENS(CONSTANTS, START, LOAD, PRODUCT, FINISH, bytes) \
	ADD   R4, R17, R17; \
	ADD   $32, R4, R26; \
	CONSTANTS; \
	MOVD  R0, R21; \
	ADD   R1<<2, R21, R22; \
	ADD   R1<<2, R22, R23; \
	ADD   R1<<2, R23, R24; \
	MOVD  $2, R25; \
half: \
	MOVD  R4, R19; \
	MOVD  R26, R20; \
	MOVD  R2, R5; \
	ADD   R3, R5, R6; \
	ADD   R3, R6, R7; \
	ADD   R3, R7, R8; \
	VMOVI $0, V0.B16; \
	FSTPQ (F0, F0), (R21); \
	FSTPQ (F0, F0), (R22); \
	FSTPQ (F0, F0), (R23); \
	FSTPQ (F0, F0), (R24); \
group: \
	START; \
	LOAD(0); \
	PRODUCT(0); \
	LOAD(1); \
	PRODUCT(1); \
	LOAD(2); \
	PRODUCT(2); \
	LOAD(3); \
	PRODUCT(3); \
	FINISH; \
	FMOVQ (R19), F16; \
	FCVTL2(16, 17); \
	FCVTL(16, 16); \
	FACTORS(R5, F24, V24, V0, V1, V8, V9); \
	FACTORS(R6, F25, V25, V2, V3, V10, V11); \
	FACTORS(R7, F26, V26, V4, V5, V12, V13); \
	FACTORS(R8, F27, V27, V6, V7, V14, V15); \
	RESULTS(V0, V1, V8, V9, F8, F9, R21); \
	RESULTS(V2, V3, V10, V11, F10, F11, R22); \
	RESULTS(V4, V5, V12, V13, F12, F13, R23); \
	RESULTS(V6, V7, V14, V15, F14, F15, R24); \
	ADD   bytes, R19; \
	ADD   bytes, R20; \
	ADD   $40, R5; \
	ADD   $40, R6; \
	ADD   $40, R7; \
	ADD   $40, R8; \
	CMP   R17, R19; \
	BLO   group; \
	ADD   $32, R21; \
	ADD   $32, R22; \
	ADD   $32, R23; \
	ADD   $32, R24; \
	ADD   $16, R4; \
	ADD   $32, R26; \
	SUBS  $1, R25; \
	BNE   half; \
	RET

// func q8BlockNEON(out []float32, outStride int, x []byte, xStride int, panel []byte)
TEXT ·q8BlockNEON(SB), NOSPLIT, $0-88
	MOVD out_base+0(FP), R0
	MOVD outStride+24(FP), R1
	MOVD x_base+32(FP), R2
	MOVD xStride+56(FP), R3
	MOVD panel_base+64(FP), R4
	MOVD panel_len+72(FP), R17
	FOUR_TOKENS(CONSTANTS_Q8, START4_NEON, LOAD4_Q8, PRODUCT4_NEON, FINISH4_NEON, $544)

// func q4BlockNEON(out []float32, outStride int, x []byte, xStride int, panel []byte)
TEXT ·q4BlockNEON(SB), NOSPLIT, $0-88
	MOVD out_base+0(FP), R0
	MOVD outStride+24(FP), R1
	MOVD x_base+32(FP), R2
	MOVD xStride+56(FP), R3
	MOVD panel_base+64(FP), R4
	MOVD panel_len+72(FP), R17
	FOUR_TOKENS(CONSTANTS_Q4, START4_NEON, LOAD4_Q4, PRODUCT4_NEON, FINISH4_NEON, $288)

// func q8BlockDot(out []float32, outStride int, x []byte, xStride int, panel []byte)
TEXT ·q8BlockDot(SB), NOSPLIT, $0-88
	MOVD out_base+0(FP), R0
	MOVD outStride+24(FP), R1
	MOVD x_base+32(FP), R2
	MOVD xStride+56(FP), R3
	MOVD panel_base+64(FP), R4
	MOVD panel_len+72(FP), R17
	FOUR_TOKENS(CONSTANTS_Q8, START4_DOT, LOAD4_Q8, PRODUCT4_DOT, FINISH4_DOT, $544)

// func q4BlockDot(out []float32, outStride int, x []byte, xStride int, panel []byte)
TEXT ·q4BlockDot(SB), NOSPLIT, $0-88
	MOVD out_base+0(FP), R0
	MOVD outStride+24(FP), R1
	MOVD x_base+32(FP), R2
	MOVD xStride+56(FP), R3
	MOVD panel_base+64(FP), R4
	MOVD panel_len+72(FP), R17
	FOUR_TOKENS(CONSTANTS_Q4, START4_DOT, LOAD4_Q4, PRODUCT4_DOT, FINISH4_DOT, $288)
