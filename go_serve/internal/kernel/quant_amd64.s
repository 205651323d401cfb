#include "textflag.h"

// q8 and q4 in 256-bit registers, half a panel (8 rows) at a time, with AVX2 or with AVX-VNNI. Both give the same exact integer
// sums. They differ in three macros:
//
//	START(s, acc)       the sum before the first product; s is the token's -128·Σa
//	PREPARE             readies the weights in Y8
//	DOT(a, acc, n)      acc (which is Yn) += weights · the four activation bytes at a

// AVX2 has no product of unsigned and signed bytes that cannot saturate, but the sum of two products |w|·(a with w's sign)
// stays below 2^15. Y12 holds ones (16 bit). Weights are signed here: Y8, with |w| in Y9.
#define START_AVX2(s, acc) VPXOR acc, acc, acc
#define PREPARE_AVX2 VPABSB Y8, Y9
#define DOT_AVX2(a, acc, n) \
	VPBROADCASTD a, Y10; \
	VPSIGNB      Y8, Y10, Y10; \
	VPMADDUBSW   Y10, Y9, Y10; \
	VPMADDWD     Y12, Y10, Y10; \
	VPADDD       Y10, acc, acc

// AVX-VNNI takes the weights as they are stored, with 128 added. Go assembles only the AVX-512 form of VPDPBUSD; the bytes
// are VPDPBUSD Y10, Y8, Yn in the VEX form.
#define START_VNNI(s, acc) VPBROADCASTD s, acc
#define PREPARE_VNNI
#define DOT_VNNI(a, acc, n) \
	VPBROADCASTD a, Y10; \
	BYTE         $0xc4; BYTE $0xc2; BYTE $0x3d; BYTE $0x50; BYTE $(0xc2|n<<3)

// LOAD_* fetch weights into Y8. Y13 turns stored bytes into what PREPARE expects: it holds 128s for AVX2 (x ^ 128 = x - 128),
// zeros for AVX-VNNI. The codebook in Y14 has been turned already.
#define LOAD_Q8(src) \
	VPXOR src, Y13, Y8

// UNPACK looks up 32 double codes: Y8 gets quad i, Y11 quad i+4. Y15 is the mask of the low four bits.
#define UNPACK(src) \
	VMOVDQU src, Y8; \
	VPSRLW  $4, Y8, Y11; \
	VPAND   Y15, Y8, Y8; \
	VPAND   Y15, Y11, Y11; \
	VPSHUFB Y8, Y14, Y8; \
	VPSHUFB Y11, Y14, Y11

// EPILOGUE: acc += float(sum) · (scales · s), each operation rounded (docs/formats.md).
#define EPILOGUE(s, scales, sum, acc) \
	VBROADCASTSS s, Y10; \
	VMULPS       scales, Y10, Y10; \
	VCVTDQ2PS    sum, sum; \
	VMULPS       Y10, sum, sum; \
	VADDPS       sum, acc, acc

DATA ·flip<>+0(SB)/4, $0x80808080
GLOBL ·flip<>(SB), RODATA, $4
DATA ·low4<>+0(SB)/4, $0x0f0f0f0f
GLOBL ·low4<>(SB), RODATA, $4
DATA ·ones<>+0(SB)/4, $0x00010001
GLOBL ·ones<>(SB), RODATA, $4

#define CONSTANTS_AVX2 \
	VPBROADCASTD   ·flip<>(SB), Y13; \
	VPBROADCASTD   ·low4<>(SB), Y15; \
	VPBROADCASTD   ·ones<>(SB), Y12; \
	VBROADCASTI128 ·codebook(SB), Y14; \
	VPXOR          Y13, Y14, Y14

#define CONSTANTS_VNNI \
	VPXOR          Y13, Y13, Y13; \
	VPBROADCASTD   ·low4<>(SB), Y15; \
	VBROADCASTI128 ·codebook(SB), Y14

// One token. Y0 and Y1 are the sums of the two halves, Y4 and Y5 the results.

#define QUAD1(PREPARE, DOT, src, a) \
	LOAD_Q8(src); \
	PREPARE; \
	DOT(a, Y0, 0); \
	LOAD_Q8(32+src); \
	PREPARE; \
	DOT(a, Y1, 1)

#define DOUBLE1(PREPARE, DOT, src, a, acc, n) \
	UNPACK(src); \
	PREPARE; \
	DOT(a, acc, n); \
	VMOVDQA Y11, Y8; \
	PREPARE; \
	DOT(16+a, acc, n)

#define ONE_TOKEN(CONSTANTS, START, BODY, bytes) \
	ADDQ    SI, CX; \
	CONSTANTS; \
panel: \
	MOVQ    SI, AX; \
	VPXOR   Y4, Y4, Y4; \
	VPXOR   Y5, Y5, Y5; \
group: \
	START(36(AX), Y0); \
	START(36(AX), Y1); \
	BODY; \
	VCVTPH2PS (BX), Y2; \
	VCVTPH2PS 16(BX), Y3; \
	EPILOGUE(32(AX), Y2, Y0, Y4); \
	EPILOGUE(32(AX), Y3, Y1, Y5); \
	ADDQ    bytes, BX; \
	ADDQ    $40, AX; \
	CMPQ    AX, CX; \
	JB      group; \
	VMOVUPS Y4, (DI); \
	VMOVUPS Y5, 32(DI); \
	ADDQ    $64, DI; \
	SUBQ    $16, DX; \
	JA      panel; \
	VZEROUPPER; \
	RET

#define Q8_BODY1(PREPARE, DOT) \
	PREFETCHT0 2176(BX); PREFETCHT0 2240(BX); PREFETCHT0 2304(BX); PREFETCHT0 2368(BX); \
	PREFETCHT0 2432(BX); PREFETCHT0 2496(BX); PREFETCHT0 2560(BX); PREFETCHT0 2624(BX); \
	QUAD1(PREPARE, DOT, 32(BX), 0(AX)); \
	QUAD1(PREPARE, DOT, 96(BX), 4(AX)); \
	QUAD1(PREPARE, DOT, 160(BX), 8(AX)); \
	QUAD1(PREPARE, DOT, 224(BX), 12(AX)); \
	QUAD1(PREPARE, DOT, 288(BX), 16(AX)); \
	QUAD1(PREPARE, DOT, 352(BX), 20(AX)); \
	QUAD1(PREPARE, DOT, 416(BX), 24(AX)); \
	QUAD1(PREPARE, DOT, 480(BX), 28(AX))

#define Q4_BODY1(PREPARE, DOT) \
	PREFETCHT0 2304(BX); PREFETCHT0 2368(BX); PREFETCHT0 2432(BX); PREFETCHT0 2496(BX); PREFETCHT0 2560(BX); \
	DOUBLE1(PREPARE, DOT, 32(BX), 0(AX), Y0, 0); \
	DOUBLE1(PREPARE, DOT, 64(BX), 0(AX), Y1, 1); \
	DOUBLE1(PREPARE, DOT, 96(BX), 4(AX), Y0, 0); \
	DOUBLE1(PREPARE, DOT, 128(BX), 4(AX), Y1, 1); \
	DOUBLE1(PREPARE, DOT, 160(BX), 8(AX), Y0, 0); \
	DOUBLE1(PREPARE, DOT, 192(BX), 8(AX), Y1, 1); \
	DOUBLE1(PREPARE, DOT, 224(BX), 12(AX), Y0, 0); \
	DOUBLE1(PREPARE, DOT, 256(BX), 12(AX), Y1, 1)

// func q8AVX2(out []float32, x, panels []byte)
TEXT ·q8AVX2(SB), NOSPLIT, $0-72
	MOVQ out_base+0(FP), DI
	MOVQ out_len+8(FP), DX
	MOVQ x_base+24(FP), SI
	MOVQ x_len+32(FP), CX
	MOVQ panels_base+48(FP), BX
	ONE_TOKEN(CONSTANTS_AVX2, START_AVX2, Q8_BODY1(PREPARE_AVX2, DOT_AVX2), $544)

// func q4AVX2(out []float32, x, panels []byte)
TEXT ·q4AVX2(SB), NOSPLIT, $0-72
	MOVQ out_base+0(FP), DI
	MOVQ out_len+8(FP), DX
	MOVQ x_base+24(FP), SI
	MOVQ x_len+32(FP), CX
	MOVQ panels_base+48(FP), BX
	ONE_TOKEN(CONSTANTS_AVX2, START_AVX2, Q4_BODY1(PREPARE_AVX2, DOT_AVX2), $288)

// func q8AVXVNNI(out []float32, x, panels []byte)
TEXT ·q8AVXVNNI(SB), NOSPLIT, $0-72
	MOVQ out_base+0(FP), DI
	MOVQ out_len+8(FP), DX
	MOVQ x_base+24(FP), SI
	MOVQ x_len+32(FP), CX
	MOVQ panels_base+48(FP), BX
	ONE_TOKEN(CONSTANTS_VNNI, START_VNNI, Q8_BODY1(PREPARE_VNNI, DOT_VNNI), $544)

// func q4AVXVNNI(out []float32, x, panels []byte)
TEXT ·q4AVXVNNI(SB), NOSPLIT, $0-72
	MOVQ out_base+0(FP), DI
	MOVQ out_len+8(FP), DX
	MOVQ x_base+24(FP), SI
	MOVQ x_len+32(FP), CX
	MOVQ panels_base+48(FP), BX
	ONE_TOKEN(CONSTANTS_VNNI, START_VNNI, Q4_BODY1(PREPARE_VNNI, DOT_VNNI), $288)

// Four tokens: AX and R8 point at tokens 0 and 3, R12 is the distance between tokens in bytes. Y0 to Y3 are the sums, Y4 to Y7
// the results of half a panel. There are two turns, one for each half. BX walks the groups from R9 on, which in the second turn
// is 16 bytes further on, where the scales of the second half are; R10 is where the weights of the half begin.

#define DOT4(DOT, at) \
	DOT(at(AX), Y0, 0); \
	DOT(at(AX)(R12*1), Y1, 1); \
	DOT(at(AX)(R12*2), Y2, 2); \
	DOT(at(R8), Y3, 3)

#define QUAD4(PREPARE, DOT, src, at) \
	LOAD_Q8(src); \
	PREPARE; \
	DOT4(DOT, at)

#define DOUBLE4(PREPARE, DOT, src, at, next) \
	UNPACK(src); \
	PREPARE; \
	DOT4(DOT, at); \
	VMOVDQA Y11, Y8; \
	PREPARE; \
	DOT4(DOT, next)

#define FOUR_TOKENS(CONSTANTS, START, BODY, bytes) \
	ADDQ      R9, CX; \
	LEAQ      32(R9), R10; \
	CONSTANTS; \
	MOVQ      $2, R13; \
half: \
	MOVQ      R9, BX; \
	MOVQ      R10, R11; \
	MOVQ      SI, AX; \
	LEAQ      (AX)(R12*2), R8; \
	ADDQ      R12, R8; \
	VPXOR     Y4, Y4, Y4; \
	VPXOR     Y5, Y5, Y5; \
	VPXOR     Y6, Y6, Y6; \
	VPXOR     Y7, Y7, Y7; \
group: \
	START(36(AX), Y0); \
	START(36(AX)(R12*1), Y1); \
	START(36(AX)(R12*2), Y2); \
	START(36(R8), Y3); \
	BODY; \
	VCVTPH2PS (BX), Y8; \
	EPILOGUE(32(AX), Y8, Y0, Y4); \
	EPILOGUE(32(AX)(R12*1), Y8, Y1, Y5); \
	EPILOGUE(32(AX)(R12*2), Y8, Y2, Y6); \
	EPILOGUE(32(R8), Y8, Y3, Y7); \
	ADDQ      bytes, BX; \
	ADDQ      bytes, R11; \
	ADDQ      $40, AX; \
	ADDQ      $40, R8; \
	CMPQ      BX, CX; \
	JB        group; \
	VMOVUPS   Y4, (DI); \
	VMOVUPS   Y5, (DI)(DX*1); \
	VMOVUPS   Y6, (DI)(DX*2); \
	LEAQ      (DI)(DX*2), R8; \
	VMOVUPS   Y7, (R8)(DX*1); \
	ADDQ      $32, DI; \
	ADDQ      $16, R9; \
	ADDQ      $32, R10; \
	DECQ      R13; \
	JNZ       half; \
	VZEROUPPER; \
	RET

#define Q8_BODY4(PREPARE, DOT) \
	QUAD4(PREPARE, DOT, 0(R11), 0); \
	QUAD4(PREPARE, DOT, 64(R11), 4); \
	QUAD4(PREPARE, DOT, 128(R11), 8); \
	QUAD4(PREPARE, DOT, 192(R11), 12); \
	QUAD4(PREPARE, DOT, 256(R11), 16); \
	QUAD4(PREPARE, DOT, 320(R11), 20); \
	QUAD4(PREPARE, DOT, 384(R11), 24); \
	QUAD4(PREPARE, DOT, 448(R11), 28)

#define Q4_BODY4(PREPARE, DOT) \
	DOUBLE4(PREPARE, DOT, 0(R11), 0, 16); \
	DOUBLE4(PREPARE, DOT, 64(R11), 4, 20); \
	DOUBLE4(PREPARE, DOT, 128(R11), 8, 24); \
	DOUBLE4(PREPARE, DOT, 192(R11), 12, 28)

// func q8BlockAVX2(out []float32, outStride int, x []byte, xStride int, panel []byte)
TEXT ·q8BlockAVX2(SB), NOSPLIT, $0-88
	MOVQ out_base+0(FP), DI
	MOVQ outStride+24(FP), DX
	SHLQ $2, DX
	MOVQ x_base+32(FP), SI
	MOVQ xStride+56(FP), R12
	MOVQ panel_base+64(FP), R9
	MOVQ panel_len+72(FP), CX
	FOUR_TOKENS(CONSTANTS_AVX2, START_AVX2, Q8_BODY4(PREPARE_AVX2, DOT_AVX2), $544)

// func q4BlockAVX2(out []float32, outStride int, x []byte, xStride int, panel []byte)
TEXT ·q4BlockAVX2(SB), NOSPLIT, $0-88
	MOVQ out_base+0(FP), DI
	MOVQ outStride+24(FP), DX
	SHLQ $2, DX
	MOVQ x_base+32(FP), SI
	MOVQ xStride+56(FP), R12
	MOVQ panel_base+64(FP), R9
	MOVQ panel_len+72(FP), CX
	FOUR_TOKENS(CONSTANTS_AVX2, START_AVX2, Q4_BODY4(PREPARE_AVX2, DOT_AVX2), $288)

// func q8BlockAVXVNNI(out []float32, outStride int, x []byte, xStride int, panel []byte)
TEXT ·q8BlockAVXVNNI(SB), NOSPLIT, $0-88
	MOVQ out_base+0(FP), DI
	MOVQ outStride+24(FP), DX
	SHLQ $2, DX
	MOVQ x_base+32(FP), SI
	MOVQ xStride+56(FP), R12
	MOVQ panel_base+64(FP), R9
	MOVQ panel_len+72(FP), CX
	FOUR_TOKENS(CONSTANTS_VNNI, START_VNNI, Q8_BODY4(PREPARE_VNNI, DOT_VNNI), $544)

// func q4BlockAVXVNNI(out []float32, outStride int, x []byte, xStride int, panel []byte)
TEXT ·q4BlockAVXVNNI(SB), NOSPLIT, $0-88
	MOVQ out_base+0(FP), DI
	MOVQ outStride+24(FP), DX
	SHLQ $2, DX
	MOVQ x_base+32(FP), SI
	MOVQ xStride+56(FP), R12
	MOVQ panel_base+64(FP), R9
	MOVQ panel_len+72(FP), CX
	FOUR_TOKENS(CONSTANTS_VNNI, START_VNNI, Q4_BODY4(PREPARE_VNNI, DOT_VNNI), $288)
