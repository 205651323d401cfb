#include "textflag.h"

// AVX-512 with VNNI: a row of a panel is a lane. VPDPBUSD multiplies weights, as unsigned bytes, by four activation bytes,
// which are broadcast from memory, as signed ones. Z31 holds the codebook in every 16 bytes, Z30 the mask of the low four bits.

// EPILOGUE: acc += float(sum) · (scales · s), each operation rounded (docs/formats.md).
#define EPILOGUE(s, scales, sum, tmp, acc) \
	VMULPS.BCST s, scales, tmp; \
	VCVTDQ2PS   sum, sum; \
	VMULPS      tmp, sum, sum; \
	VADDPS      sum, acc, acc

// func q8AVX512(out []float32, x, panels []byte)
TEXT ·q8AVX512(SB), NOSPLIT, $0-72
	MOVQ out_base+0(FP), DI
	MOVQ out_len+8(FP), DX
	MOVQ x_base+24(FP), SI
	MOVQ x_len+32(FP), CX
	MOVQ panels_base+48(FP), BX
	ADDQ SI, CX

panel:
	MOVQ   SI, AX
	VPXORD Z0, Z0, Z0

group:
	PREFETCHT0    2176(BX)
	PREFETCHT0    2240(BX)
	PREFETCHT0    2304(BX)
	PREFETCHT0    2368(BX)
	PREFETCHT0    2432(BX)
	PREFETCHT0    2496(BX)
	PREFETCHT0    2560(BX)
	PREFETCHT0    2624(BX)
	VPBROADCASTD  36(AX), Z1
	VPXORD        Z2, Z2, Z2
	VMOVDQU64     32(BX), Z4
	VMOVDQU64     96(BX), Z5
	VMOVDQU64     160(BX), Z6
	VMOVDQU64     224(BX), Z7
	VPDPBUSD.BCST 0(AX), Z4, Z1
	VPDPBUSD.BCST 4(AX), Z5, Z2
	VPDPBUSD.BCST 8(AX), Z6, Z1
	VPDPBUSD.BCST 12(AX), Z7, Z2
	VMOVDQU64     288(BX), Z4
	VMOVDQU64     352(BX), Z5
	VMOVDQU64     416(BX), Z6
	VMOVDQU64     480(BX), Z7
	VPDPBUSD.BCST 16(AX), Z4, Z1
	VPDPBUSD.BCST 20(AX), Z5, Z2
	VPDPBUSD.BCST 24(AX), Z6, Z1
	VPDPBUSD.BCST 28(AX), Z7, Z2
	VCVTPH2PS     (BX), Z3
	VPADDD        Z2, Z1, Z1
	EPILOGUE(32(AX), Z3, Z1, Z8, Z0)
	ADDQ          $544, BX
	ADDQ          $40, AX
	CMPQ          AX, CX
	JB            group

	VMOVUPS Z0, (DI)
	ADDQ    $64, DI
	SUBQ    $16, DX
	JA      panel
	VZEROUPPER
	RET

// Q4TABLES loads the tables that q4 needs.
#define Q4TABLES \
	VBROADCASTI32X4 ·codebook(SB), Z31; \
	MOVL            $0x0f0f0f0f, AX; \
	VPBROADCASTD    AX, Z30

// UNPACK looks up the 64 double codes at src: low gets quad i, high quad i+4.
#define UNPACK(src, low, high) \
	VMOVDQU64 src, low; \
	VPSRLW    $4, low, high; \
	VPANDD    Z30, low, low; \
	VPANDD    Z30, high, high; \
	VPSHUFB   low, Z31, low; \
	VPSHUFB   high, Z31, high

// func q4AVX512(out []float32, x, panels []byte)
TEXT ·q4AVX512(SB), NOSPLIT, $0-72
	MOVQ out_base+0(FP), DI
	MOVQ out_len+8(FP), DX
	MOVQ x_base+24(FP), SI
	MOVQ x_len+32(FP), CX
	MOVQ panels_base+48(FP), BX
	ADDQ SI, CX
	Q4TABLES

panel:
	MOVQ   SI, AX
	VPXORD Z0, Z0, Z0

group:
	PREFETCHT0    2304(BX)
	PREFETCHT0    2368(BX)
	PREFETCHT0    2432(BX)
	PREFETCHT0    2496(BX)
	PREFETCHT0    2560(BX)
	VPBROADCASTD  36(AX), Z1
	VPXORD        Z2, Z2, Z2
	UNPACK(32(BX), Z4, Z5)
	UNPACK(96(BX), Z6, Z7)
	VPDPBUSD.BCST 0(AX), Z4, Z1
	VPDPBUSD.BCST 16(AX), Z5, Z2
	VPDPBUSD.BCST 4(AX), Z6, Z1
	VPDPBUSD.BCST 20(AX), Z7, Z2
	UNPACK(160(BX), Z4, Z5)
	UNPACK(224(BX), Z6, Z7)
	VPDPBUSD.BCST 8(AX), Z4, Z1
	VPDPBUSD.BCST 24(AX), Z5, Z2
	VPDPBUSD.BCST 12(AX), Z6, Z1
	VPDPBUSD.BCST 28(AX), Z7, Z2
	VCVTPH2PS     (BX), Z3
	VPADDD        Z2, Z1, Z1
	EPILOGUE(32(AX), Z3, Z1, Z8, Z0)
	ADDQ          $288, BX
	ADDQ          $40, AX
	CMPQ          AX, CX
	JB            group

	VMOVUPS Z0, (DI)
	ADDQ    $64, DI
	SUBQ    $16, DX
	JA      panel
	VZEROUPPER
	RET

// Twelve tokens: AX, R8, R9, R10 point at tokens 0, 3, 6, 9 and R12 is the distance between tokens in bytes, so that
// every token has an address. Z0 to Z11 are the integer sums, Z12 to Z23 the results.

#define DOT12(at, w) \
	VPDPBUSD.BCST at(AX), w, Z0; \
	VPDPBUSD.BCST at(AX)(R12*1), w, Z1; \
	VPDPBUSD.BCST at(AX)(R12*2), w, Z2; \
	VPDPBUSD.BCST at(R8), w, Z3; \
	VPDPBUSD.BCST at(R8)(R12*1), w, Z4; \
	VPDPBUSD.BCST at(R8)(R12*2), w, Z5; \
	VPDPBUSD.BCST at(R9), w, Z6; \
	VPDPBUSD.BCST at(R9)(R12*1), w, Z7; \
	VPDPBUSD.BCST at(R9)(R12*2), w, Z8; \
	VPDPBUSD.BCST at(R10), w, Z9; \
	VPDPBUSD.BCST at(R10)(R12*1), w, Z10; \
	VPDPBUSD.BCST at(R10)(R12*2), w, Z11

#define START12 \
	VPBROADCASTD 36(AX), Z0; \
	VPBROADCASTD 36(AX)(R12*1), Z1; \
	VPBROADCASTD 36(AX)(R12*2), Z2; \
	VPBROADCASTD 36(R8), Z3; \
	VPBROADCASTD 36(R8)(R12*1), Z4; \
	VPBROADCASTD 36(R8)(R12*2), Z5; \
	VPBROADCASTD 36(R9), Z6; \
	VPBROADCASTD 36(R9)(R12*1), Z7; \
	VPBROADCASTD 36(R9)(R12*2), Z8; \
	VPBROADCASTD 36(R10), Z9; \
	VPBROADCASTD 36(R10)(R12*1), Z10; \
	VPBROADCASTD 36(R10)(R12*2), Z11

#define EPILOGUE12(scales) \
	EPILOGUE(32(AX), scales, Z0, Z26, Z12); \
	EPILOGUE(32(AX)(R12*1), scales, Z1, Z27, Z13); \
	EPILOGUE(32(AX)(R12*2), scales, Z2, Z28, Z14); \
	EPILOGUE(32(R8), scales, Z3, Z26, Z15); \
	EPILOGUE(32(R8)(R12*1), scales, Z4, Z27, Z16); \
	EPILOGUE(32(R8)(R12*2), scales, Z5, Z28, Z17); \
	EPILOGUE(32(R9), scales, Z6, Z26, Z18); \
	EPILOGUE(32(R9)(R12*1), scales, Z7, Z27, Z19); \
	EPILOGUE(32(R9)(R12*2), scales, Z8, Z28, Z20); \
	EPILOGUE(32(R10), scales, Z9, Z26, Z21); \
	EPILOGUE(32(R10)(R12*1), scales, Z10, Z27, Z22); \
	EPILOGUE(32(R10)(R12*2), scales, Z11, Z28, Z23)

#define ADVANCE12(bytes) \
	ADDQ bytes, AX; \
	ADDQ bytes, R8; \
	ADDQ bytes, R9; \
	ADDQ bytes, R10

#define CLEAR12(a, b, c, d, e, f, g, h, i, j, k, l) \
	VPXORD a, a, a; VPXORD b, b, b; VPXORD c, c, c; VPXORD d, d, d; \
	VPXORD e, e, e; VPXORD f, f, f; VPXORD g, g, g; VPXORD h, h, h; \
	VPXORD i, i, i; VPXORD j, j, j; VPXORD k, k, k; VPXORD l, l, l

// ADDRESSES12 sets AX, R8, R9, R10 from base; stride is the distance between tokens in bytes.
#define ADDRESSES12(base, stride) \
	MOVQ base, AX; \
	LEAQ (stride)(stride*2), R11; \
	LEAQ (AX)(R11*1), R8; \
	LEAQ (AX)(R11*2), R9; \
	LEAQ (R8)(R11*2), R10

// STORE12 writes the results; DI is out, DX its stride in bytes.
#define STORE12(a, b, c, d, e, f, g, h, i, j, k, l) \
	ADDRESSES12(DI, DX); \
	VMOVUPS a, (AX); VMOVUPS b, (AX)(DX*1); VMOVUPS c, (AX)(DX*2); \
	VMOVUPS d, (R8); VMOVUPS e, (R8)(DX*1); VMOVUPS f, (R8)(DX*2); \
	VMOVUPS g, (R9); VMOVUPS h, (R9)(DX*1); VMOVUPS i, (R9)(DX*2); \
	VMOVUPS j, (R10); VMOVUPS k, (R10)(DX*1); VMOVUPS l, (R10)(DX*2)

// func q8BlockAVX512(out []float32, outStride int, x []byte, xStride int, panel []byte)
TEXT ·q8BlockAVX512(SB), NOSPLIT, $0-88
	MOVQ out_base+0(FP), DI
	MOVQ outStride+24(FP), DX
	SHLQ $2, DX
	MOVQ x_base+32(FP), SI
	MOVQ xStride+56(FP), R12
	MOVQ panel_base+64(FP), BX
	MOVQ panel_len+72(FP), CX
	ADDQ BX, CX
	ADDRESSES12(SI, R12)
	CLEAR12(Z12, Z13, Z14, Z15, Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23)

group:
	START12
	VMOVDQU64 32(BX), Z24
	DOT12(0, Z24)
	VMOVDQU64 96(BX), Z25
	DOT12(4, Z25)
	VMOVDQU64 160(BX), Z24
	DOT12(8, Z24)
	VMOVDQU64 224(BX), Z25
	DOT12(12, Z25)
	VMOVDQU64 288(BX), Z24
	DOT12(16, Z24)
	VMOVDQU64 352(BX), Z25
	DOT12(20, Z25)
	VMOVDQU64 416(BX), Z24
	DOT12(24, Z24)
	VMOVDQU64 480(BX), Z25
	DOT12(28, Z25)
	VCVTPH2PS (BX), Z29
	EPILOGUE12(Z29)
	ADVANCE12($40)
	ADDQ      $544, BX
	CMPQ      BX, CX
	JB        group

	STORE12(Z12, Z13, Z14, Z15, Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23)
	VZEROUPPER
	RET

// func q4BlockAVX512(out []float32, outStride int, x []byte, xStride int, panel []byte)
TEXT ·q4BlockAVX512(SB), NOSPLIT, $0-88
	MOVQ out_base+0(FP), DI
	MOVQ outStride+24(FP), DX
	SHLQ $2, DX
	MOVQ x_base+32(FP), SI
	MOVQ xStride+56(FP), R12
	MOVQ panel_base+64(FP), BX
	MOVQ panel_len+72(FP), CX
	ADDQ BX, CX
	Q4TABLES
	ADDRESSES12(SI, R12)
	CLEAR12(Z12, Z13, Z14, Z15, Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23)

group:
	START12
	UNPACK(32(BX), Z24, Z25)
	DOT12(0, Z24)
	DOT12(16, Z25)
	UNPACK(96(BX), Z24, Z25)
	DOT12(4, Z24)
	DOT12(20, Z25)
	UNPACK(160(BX), Z24, Z25)
	DOT12(8, Z24)
	DOT12(24, Z25)
	UNPACK(224(BX), Z24, Z25)
	DOT12(12, Z24)
	DOT12(28, Z25)
	VCVTPH2PS (BX), Z29
	EPILOGUE12(Z29)
	ADVANCE12($40)
	ADDQ      $288, BX
	CMPQ      BX, CX
	JB        group

	STORE12(Z12, Z13, Z14, Z15, Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23)
	VZEROUPPER
	RET

// UNFUSED: acc += w · x, the product rounded.
#define UNFUSED(w, x, tmp, acc) \
	VMULPS x, w, tmp; \
	VADDPS tmp, acc, acc

// HALFPANELS computes four panels at a time, then one at a time. BX is the panel, R12 the distance between panels, R13 the
// distance between columns. R10 prefetches in one stream: the next four panels or, if panels lie side by side, 16 columns
// ahead.
#define HALFPANELS(MAC) \
	SUBQ         $64, DX; \
	JB           rest; \
four: \
	MOVQ         SI, AX; \
	MOVQ         BX, R8; \
	LEAQ         (BX)(R12*2), R9; \
	LEAQ         (BX)(R12*4), R10; \
	MOVQ         R13, R11; \
	SHLQ         $4, R11; \
	ADDQ         BX, R11; \
	CMPQ         R11, R10; \
	CMOVQHI      R11, R10; \
	VPXORD       Z0, Z0, Z0; \
	VPXORD       Z1, Z1, Z1; \
	VPXORD       Z2, Z2, Z2; \
	VPXORD       Z3, Z3, Z3; \
column4: \
	PREFETCHT1   (R10); \
	PREFETCHT1   64(R10); \
	ADDQ         $128, R10; \
	VBROADCASTSS (AX), Z8; \
	VCVTPH2PS    (R8), Z4; \
	VCVTPH2PS    (R8)(R12*1), Z5; \
	VCVTPH2PS    (R9), Z6; \
	VCVTPH2PS    (R9)(R12*1), Z7; \
	MAC(Z4, Z8, Z4, Z0); \
	MAC(Z5, Z8, Z5, Z1); \
	MAC(Z6, Z8, Z6, Z2); \
	MAC(Z7, Z8, Z7, Z3); \
	ADDQ         R13, R8; \
	ADDQ         R13, R9; \
	ADDQ         $4, AX; \
	CMPQ         AX, CX; \
	JB           column4; \
	VMOVUPS      Z0, (DI); \
	VMOVUPS      Z1, 64(DI); \
	VMOVUPS      Z2, 128(DI); \
	VMOVUPS      Z3, 192(DI); \
	ADDQ         $256, DI; \
	LEAQ         (BX)(R12*4), BX; \
	SUBQ         $64, DX; \
	JAE          four; \
rest: \
	ADDQ         $64, DX; \
	JZ           done; \
one: \
	MOVQ         SI, AX; \
	MOVQ         BX, R8; \
	VPXORD       Z0, Z0, Z0; \
column1: \
	VBROADCASTSS (AX), Z8; \
	VCVTPH2PS    (R8), Z4; \
	MAC(Z4, Z8, Z4, Z0); \
	ADDQ         R13, R8; \
	ADDQ         $4, AX; \
	CMPQ         AX, CX; \
	JB           column1; \
	VMOVUPS      Z0, (DI); \
	ADDQ         $64, DI; \
	ADDQ         R12, BX; \
	SUBQ         $16, DX; \
	JA           one; \
done: \
	VZEROUPPER; \
	RET

// func unfusedAVX512(out, x []float32, panels []byte, stride, step int)
TEXT ·unfusedAVX512(SB), NOSPLIT, $0-88
	MOVQ out_base+0(FP), DI
	MOVQ out_len+8(FP), DX
	MOVQ x_base+24(FP), SI
	MOVQ x_len+32(FP), CX
	LEAQ (SI)(CX*4), CX
	MOVQ panels_base+48(FP), BX
	MOVQ stride+72(FP), R12
	MOVQ step+80(FP), R13
	HALFPANELS(UNFUSED)

#define FUSED12(w) \
	VFMADD231PS.BCST (AX), w, Z0; \
	VFMADD231PS.BCST (AX)(R12*1), w, Z1; \
	VFMADD231PS.BCST (AX)(R12*2), w, Z2; \
	VFMADD231PS.BCST (R8), w, Z3; \
	VFMADD231PS.BCST (R8)(R12*1), w, Z4; \
	VFMADD231PS.BCST (R8)(R12*2), w, Z5; \
	VFMADD231PS.BCST (R9), w, Z6; \
	VFMADD231PS.BCST (R9)(R12*1), w, Z7; \
	VFMADD231PS.BCST (R9)(R12*2), w, Z8; \
	VFMADD231PS.BCST (R10), w, Z9; \
	VFMADD231PS.BCST (R10)(R12*1), w, Z10; \
	VFMADD231PS.BCST (R10)(R12*2), w, Z11

#define UNFUSEDBCST(w, x, tmp, acc) \
	VMULPS.BCST x, w, tmp; \
	VADDPS      tmp, acc, acc

#define UNFUSED12(w) \
	UNFUSEDBCST(w, (AX), Z12, Z0); \
	UNFUSEDBCST(w, (AX)(R12*1), Z13, Z1); \
	UNFUSEDBCST(w, (AX)(R12*2), Z14, Z2); \
	UNFUSEDBCST(w, (R8), Z15, Z3); \
	UNFUSEDBCST(w, (R8)(R12*1), Z16, Z4); \
	UNFUSEDBCST(w, (R8)(R12*2), Z17, Z5); \
	UNFUSEDBCST(w, (R9), Z18, Z6); \
	UNFUSEDBCST(w, (R9)(R12*1), Z19, Z7); \
	UNFUSEDBCST(w, (R9)(R12*2), Z20, Z8); \
	UNFUSEDBCST(w, (R10), Z21, Z9); \
	UNFUSEDBCST(w, (R10)(R12*1), Z22, Z10); \
	UNFUSEDBCST(w, (R10)(R12*2), Z23, Z11)

// HALFBLOCK: R13 is the distance between columns in bytes.
#define HALFBLOCK(MAC12) \
	ADDQ      BX, CX; \
	ADDRESSES12(SI, R12); \
	CLEAR12(Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z8, Z9, Z10, Z11); \
column: \
	VCVTPH2PS (BX), Z24; \
	MAC12(Z24); \
	ADVANCE12($4); \
	ADDQ      R13, BX; \
	CMPQ      BX, CX; \
	JB        column; \
	STORE12(Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z8, Z9, Z10, Z11); \
	VZEROUPPER; \
	RET

// PAIR multiplies two panels by each broadcast activation, which halves the loads of activations.
#define PAIR(at, tmp, a, b) \
	VBROADCASTSS at, tmp; \
	VFMADD231PS  tmp, Z24, a; \
	VFMADD231PS  tmp, Z25, b

// func f16PairAVX512(out []float32, outStride int, x []float32, xStride int, panels []byte)
TEXT ·f16PairAVX512(SB), NOSPLIT, $0-88
	MOVQ out_base+0(FP), DI
	MOVQ outStride+24(FP), DX
	SHLQ $2, DX
	MOVQ x_base+32(FP), SI
	MOVQ xStride+56(FP), R12
	SHLQ $2, R12
	MOVQ panels_base+64(FP), BX
	MOVQ panels_len+72(FP), R13
	SHRQ $1, R13                // of one panel
	LEAQ (BX)(R13*1), CX
	ADDRESSES12(SI, R12)
	CLEAR12(Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z8, Z9, Z10, Z11)
	CLEAR12(Z12, Z13, Z14, Z15, Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23)

column:
	VCVTPH2PS (BX), Z24
	VCVTPH2PS (BX)(R13*1), Z25
	PAIR((AX), Z26, Z0, Z12)
	PAIR((AX)(R12*1), Z27, Z1, Z13)
	PAIR((AX)(R12*2), Z28, Z2, Z14)
	PAIR((R8), Z29, Z3, Z15)
	PAIR((R8)(R12*1), Z26, Z4, Z16)
	PAIR((R8)(R12*2), Z27, Z5, Z17)
	PAIR((R9), Z28, Z6, Z18)
	PAIR((R9)(R12*1), Z29, Z7, Z19)
	PAIR((R9)(R12*2), Z26, Z8, Z20)
	PAIR((R10), Z27, Z9, Z21)
	PAIR((R10)(R12*1), Z28, Z10, Z22)
	PAIR((R10)(R12*2), Z29, Z11, Z23)
	ADVANCE12($4)
	ADDQ      $32, BX
	CMPQ      BX, CX
	JB        column

	STORE12(Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z8, Z9, Z10, Z11)
	ADDQ $64, DI
	STORE12(Z12, Z13, Z14, Z15, Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23)
	VZEROUPPER
	RET

// func f16BlockAVX512(out []float32, outStride int, x []float32, xStride int, panel []byte, step int)
TEXT ·f16BlockAVX512(SB), NOSPLIT, $0-96
	MOVQ out_base+0(FP), DI
	MOVQ outStride+24(FP), DX
	SHLQ $2, DX
	MOVQ x_base+32(FP), SI
	MOVQ xStride+56(FP), R12
	SHLQ $2, R12
	MOVQ panel_base+64(FP), BX
	MOVQ panel_len+72(FP), CX
	MOVQ step+88(FP), R13
	HALFBLOCK(FUSED12)

// func unfusedBlockAVX512(out []float32, outStride int, x []float32, xStride int, panel []byte, step int)
TEXT ·unfusedBlockAVX512(SB), NOSPLIT, $0-96
	MOVQ out_base+0(FP), DI
	MOVQ outStride+24(FP), DX
	SHLQ $2, DX
	MOVQ x_base+32(FP), SI
	MOVQ xStride+56(FP), R12
	SHLQ $2, R12
	MOVQ panel_base+64(FP), BX
	MOVQ panel_len+72(FP), CX
	MOVQ step+88(FP), R13
	HALFBLOCK(UNFUSED12)
