#include "textflag.h"

// fp16 panels times fp32 activations with AVX2, FMA and F16C.

// FUSED and UNFUSED are the two ways to add a product, acc += w · x; UNFUSED rounds the product.
#define FUSED(w, x, tmp, acc) VFMADD231PS x, w, acc

#define UNFUSED(w, x, tmp, acc) \
	VMULPS x, w, tmp; \
	VADDPS tmp, acc, acc

// HALFPANELS computes one token, two panels at a time, then one. BX is the panel, R12 the distance between panels, R13 the
// distance between columns. R10 prefetches from both panels, 128 columns ahead; behind the end of the first panel (R9) come the
// next two (R11). If panels lie side by side, it is 16 columns. The hint is T1, since the second-level cache can wait for more
// lines at once than the first.
#define HALFPANELS(MAC) \
	SUBQ         $32, DX; \
	JB           rest; \
two: \
	MOVQ         SI, AX; \
	MOVQ         BX, R8; \
	MOVQ         R13, R10; \
	SHLQ         $7, R10; \
	MOVQ         R13, R11; \
	SHLQ         $4, R11; \
	CMPQ         R13, R12; \
	CMOVQHI      R11, R10; \
	ADDQ         BX, R10; \
	LEAQ         (BX)(R12*1), R9; \
	LEAQ         (BX)(R12*2), R11; \
	VXORPS       Y0, Y0, Y0; \
	VXORPS       Y1, Y1, Y1; \
	VXORPS       Y2, Y2, Y2; \
	VXORPS       Y3, Y3, Y3; \
column2: \
	PREFETCHT1   (R10); \
	PREFETCHT1   (R10)(R12*1); \
	ADDQ         R13, R10; \
	CMPQ         R10, R9; \
	CMOVQEQ      R11, R10; \
	VBROADCASTSS (AX), Y8; \
	VCVTPH2PS    (R8), Y4; \
	VCVTPH2PS    16(R8), Y5; \
	VCVTPH2PS    (R8)(R12*1), Y6; \
	VCVTPH2PS    16(R8)(R12*1), Y7; \
	MAC(Y4, Y8, Y4, Y0); \
	MAC(Y5, Y8, Y5, Y1); \
	MAC(Y6, Y8, Y6, Y2); \
	MAC(Y7, Y8, Y7, Y3); \
	ADDQ         R13, R8; \
	ADDQ         $4, AX; \
	CMPQ         AX, CX; \
	JB           column2; \
	VMOVUPS      Y0, (DI); \
	VMOVUPS      Y1, 32(DI); \
	VMOVUPS      Y2, 64(DI); \
	VMOVUPS      Y3, 96(DI); \
	ADDQ         $128, DI; \
	LEAQ         (BX)(R12*2), BX; \
	SUBQ         $32, DX; \
	JAE          two; \
rest: \
	ADDQ         $32, DX; \
	JZ           done; \
	MOVQ         SI, AX; \
	MOVQ         BX, R8; \
	VXORPS       Y0, Y0, Y0; \
	VXORPS       Y1, Y1, Y1; \
column1: \
	VBROADCASTSS (AX), Y8; \
	VCVTPH2PS    (R8), Y4; \
	VCVTPH2PS    16(R8), Y5; \
	MAC(Y4, Y8, Y4, Y0); \
	MAC(Y5, Y8, Y5, Y1); \
	ADDQ         R13, R8; \
	ADDQ         $4, AX; \
	CMPQ         AX, CX; \
	JB           column1; \
	VMOVUPS      Y0, (DI); \
	VMOVUPS      Y1, 32(DI); \
done: \
	VZEROUPPER; \
	RET

// func f16AVX2(out, x []float32, panels []byte, stride, step int)
TEXT ·f16AVX2(SB), NOSPLIT, $0-88
	MOVQ out_base+0(FP), DI
	MOVQ out_len+8(FP), DX
	MOVQ x_base+24(FP), SI
	MOVQ x_len+32(FP), CX
	LEAQ (SI)(CX*4), CX
	MOVQ panels_base+48(FP), BX
	MOVQ stride+72(FP), R12
	MOVQ step+80(FP), R13
	HALFPANELS(FUSED)

// func unfusedAVX2(out, x []float32, panels []byte, stride, step int)
TEXT ·unfusedAVX2(SB), NOSPLIT, $0-88
	MOVQ out_base+0(FP), DI
	MOVQ out_len+8(FP), DX
	MOVQ x_base+24(FP), SI
	MOVQ x_len+32(FP), CX
	LEAQ (SI)(CX*4), CX
	MOVQ panels_base+48(FP), BX
	MOVQ stride+72(FP), R12
	MOVQ step+80(FP), R13
	HALFPANELS(UNFUSED)

// HALFBLOCK: four tokens, one panel. AX and R8 point at tokens 0 and 3, R12 is the distance between tokens in bytes.
#define HALFBLOCK(MAC) \
	ADDQ         BX, CX; \
	LEAQ         (AX)(R12*2), R8; \
	ADDQ         R12, R8; \
	VXORPS       Y0, Y0, Y0; \
	VXORPS       Y1, Y1, Y1; \
	VXORPS       Y2, Y2, Y2; \
	VXORPS       Y3, Y3, Y3; \
	VXORPS       Y4, Y4, Y4; \
	VXORPS       Y5, Y5, Y5; \
	VXORPS       Y6, Y6, Y6; \
	VXORPS       Y7, Y7, Y7; \
column: \
	VCVTPH2PS    (BX), Y8; \
	VCVTPH2PS    16(BX), Y9; \
	VBROADCASTSS (AX), Y10; \
	MAC(Y8, Y10, Y12, Y0); \
	MAC(Y9, Y10, Y13, Y1); \
	VBROADCASTSS (AX)(R12*1), Y11; \
	MAC(Y8, Y11, Y14, Y2); \
	MAC(Y9, Y11, Y15, Y3); \
	VBROADCASTSS (AX)(R12*2), Y10; \
	MAC(Y8, Y10, Y12, Y4); \
	MAC(Y9, Y10, Y13, Y5); \
	VBROADCASTSS (R8), Y11; \
	MAC(Y8, Y11, Y14, Y6); \
	MAC(Y9, Y11, Y15, Y7); \
	ADDQ         $4, AX; \
	ADDQ         $4, R8; \
	ADDQ         R13, BX; \
	CMPQ         BX, CX; \
	JB           column; \
	VMOVUPS      Y0, (DI); \
	VMOVUPS      Y1, 32(DI); \
	VMOVUPS      Y2, (DI)(DX*1); \
	VMOVUPS      Y3, 32(DI)(DX*1); \
	LEAQ         (DI)(DX*2), DI; \
	VMOVUPS      Y4, (DI); \
	VMOVUPS      Y5, 32(DI); \
	VMOVUPS      Y6, (DI)(DX*1); \
	VMOVUPS      Y7, 32(DI)(DX*1); \
	VZEROUPPER; \
	RET

// func f16BlockAVX2(out []float32, outStride int, x []float32, xStride int, panel []byte, step int)
TEXT ·f16BlockAVX2(SB), NOSPLIT, $0-96
	MOVQ out_base+0(FP), DI
	MOVQ outStride+24(FP), DX
	SHLQ $2, DX
	MOVQ x_base+32(FP), AX
	MOVQ xStride+56(FP), R12
	SHLQ $2, R12
	MOVQ panel_base+64(FP), BX
	MOVQ panel_len+72(FP), CX
	MOVQ step+88(FP), R13
	HALFBLOCK(FUSED)

// func unfusedBlockAVX2(out []float32, outStride int, x []float32, xStride int, panel []byte, step int)
TEXT ·unfusedBlockAVX2(SB), NOSPLIT, $0-96
	MOVQ out_base+0(FP), DI
	MOVQ outStride+24(FP), DX
	SHLQ $2, DX
	MOVQ x_base+32(FP), AX
	MOVQ xStride+56(FP), R12
	SHLQ $2, R12
	MOVQ panel_base+64(FP), BX
	MOVQ panel_len+72(FP), CX
	MOVQ step+88(FP), R13
	HALFBLOCK(UNFUSED)
