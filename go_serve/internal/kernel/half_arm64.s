#include "textflag.h"

// fp16 panels times fp32 activations.

// Instructions that Go's assembler does not know, by the numbers of their registers:
//	FCVTL   fcvtl  vd.4s, vn.4h   four halves to floats
//	FCVTL2  fcvtl2 vd.4s, vn.8h   the upper four
#define FCVTL(n, d) WORD $(0x0e217800 | n<<5 | d)
#define FCVTL2(n, d) WORD $(0x4e217800 | n<<5 | d)

// FUSED and UNFUSED are the two ways to add a column's 16 products, s += w · x; UNFUSED rounds the products. w is what LOADA or
// LOADB has loaded.
#define FUSED(w0, w1, w2, w3, x, s0, s1, s2, s3) \
	VFMLA x.S4, w0.S4, s0.S4; \
	VFMLA x.S4, w1.S4, s1.S4; \
	VFMLA x.S4, w2.S4, s2.S4; \
	VFMLA x.S4, w3.S4, s3.S4

#define UNFUSED(w0, w1, w2, w3, x, s0, s1, s2, s3) \
	VFMUL x.S4, w0.S4, V28.S4; \
	VFMUL x.S4, w1.S4, V29.S4; \
	VFMUL x.S4, w2.S4, V30.S4; \
	VFMUL x.S4, w3.S4, V31.S4; \
	VFADD V28.S4, s0.S4, s0.S4; \
	VFADD V29.S4, s1.S4, s1.S4; \
	VFADD V30.S4, s2.S4, s2.S4; \
	VFADD V31.S4, s3.S4, s3.S4

// LOADA and LOADB load a column of a panel, 16 rows: LOADA to V16 to V19, LOADB to V20 to V23. R9 is the distance between
// columns.
#define LOADA(panel) \
	FLDPQ (panel), (F16, F18); \
	ADD   R9, panel; \
	FCVTL2(16, 17); \
	FCVTL(16, 16); \
	FCVTL2(18, 19); \
	FCVTL(18, 18)

#define LOADB(panel) \
	FLDPQ (panel), (F20, F22); \
	ADD   R9, panel; \
	FCVTL2(20, 21); \
	FCVTL(20, 20); \
	FCVTL2(22, 23); \
	FCVTL(22, 22)

#define CLEAR4(r0, r1, r2, r3) \
	VMOVI $0, r0.B16; \
	VMOVI $0, r1.B16; \
	VMOVI $0, r2.B16; \
	VMOVI $0, r3.B16

// HALFPANELS computes one token, two panels at a time (one alone has too few sums to keep the processor busy), then one. R4 is
// the panel, R5 the distance between panels.
#define HALFPANELS(MAC) \
	ADD   R3<<2, R2, R3; \
	SUBS  $32, R1; \
	BLT   rest; \
two: \
	MOVD  R2, R6; \
	MOVD  R4, R7; \
	ADD   R5, R4, R8; \
	CLEAR4(V0, V1, V2, V3); \
	CLEAR4(V4, V5, V6, V7); \
column2: \
	VLD1R.P 4(R6), [V24.S4]; \
	LOADA(R7); \
	LOADB(R8); \
	MAC(V16, V17, V18, V19, V24, V0, V1, V2, V3); \
	MAC(V20, V21, V22, V23, V24, V4, V5, V6, V7); \
	CMP   R3, R6; \
	BLO   column2; \
	FSTPQ (F0, F1), (R0); \
	FSTPQ (F2, F3), 32(R0); \
	FSTPQ (F4, F5), 64(R0); \
	FSTPQ (F6, F7), 96(R0); \
	ADD   $128, R0; \
	ADD   R5<<1, R4; \
	SUBS  $32, R1; \
	BGE   two; \
rest: \
	ADDS  $32, R1; \
	BEQ   done; \
	CLEAR4(V0, V1, V2, V3); \
column1: \
	VLD1R.P 4(R2), [V24.S4]; \
	LOADA(R4); \
	MAC(V16, V17, V18, V19, V24, V0, V1, V2, V3); \
	CMP   R3, R2; \
	BLO   column1; \
	FSTPQ (F0, F1), (R0); \
	FSTPQ (F2, F3), 32(R0); \
done: \
	RET

// func f16NEON(out, x []float32, panels []byte, stride, step int)
TEXT ·f16NEON(SB), NOSPLIT, $0-88
	MOVD out_base+0(FP), R0
	MOVD out_len+8(FP), R1
	MOVD x_base+24(FP), R2
	MOVD x_len+32(FP), R3
	MOVD panels_base+48(FP), R4
	MOVD stride+72(FP), R5
	MOVD step+80(FP), R9
	HALFPANELS(FUSED)

// func unfusedNEON(out, x []float32, panels []byte, stride, step int)
TEXT ·unfusedNEON(SB), NOSPLIT, $0-88
	MOVD out_base+0(FP), R0
	MOVD out_len+8(FP), R1
	MOVD x_base+24(FP), R2
	MOVD x_len+32(FP), R3
	MOVD panels_base+48(FP), R4
	MOVD stride+72(FP), R5
	MOVD step+80(FP), R9
	HALFPANELS(UNFUSED)

// HALFBLOCK: four tokens, one panel. R5 to R8 are the tokens.
#define HALFBLOCK(MAC) \
	ADD   R4, R17, R17; \
	MOVD  R2, R5; \
	ADD   R3<<2, R5, R6; \
	ADD   R3<<2, R6, R7; \
	ADD   R3<<2, R7, R8; \
	CLEAR4(V0, V1, V2, V3); \
	CLEAR4(V4, V5, V6, V7); \
	CLEAR4(V8, V9, V10, V11); \
	CLEAR4(V12, V13, V14, V15); \
column: \
	LOADA(R4); \
	VLD1R.P 4(R5), [V24.S4]; \
	VLD1R.P 4(R6), [V25.S4]; \
	VLD1R.P 4(R7), [V26.S4]; \
	VLD1R.P 4(R8), [V27.S4]; \
	MAC(V16, V17, V18, V19, V24, V0, V1, V2, V3); \
	MAC(V16, V17, V18, V19, V25, V4, V5, V6, V7); \
	MAC(V16, V17, V18, V19, V26, V8, V9, V10, V11); \
	MAC(V16, V17, V18, V19, V27, V12, V13, V14, V15); \
	CMP   R17, R4; \
	BLO   column; \
	FSTPQ (F0, F1), (R0); \
	FSTPQ (F2, F3), 32(R0); \
	ADD   R1<<2, R0; \
	FSTPQ (F4, F5), (R0); \
	FSTPQ (F6, F7), 32(R0); \
	ADD   R1<<2, R0; \
	FSTPQ (F8, F9), (R0); \
	FSTPQ (F10, F11), 32(R0); \
	ADD   R1<<2, R0; \
	FSTPQ (F12, F13), (R0); \
	FSTPQ (F14, F15), 32(R0); \
	RET

// func f16BlockNEON(out []float32, outStride int, x []float32, xStride int, panel []byte, step int)
TEXT ·f16BlockNEON(SB), NOSPLIT, $0-96
	MOVD out_base+0(FP), R0
	MOVD outStride+24(FP), R1
	MOVD x_base+32(FP), R2
	MOVD xStride+56(FP), R3
	MOVD panel_base+64(FP), R4
	MOVD panel_len+72(FP), R17
	MOVD step+88(FP), R9
	HALFBLOCK(FUSED)

// func unfusedBlockNEON(out []float32, outStride int, x []float32, xStride int, panel []byte, step int)
TEXT ·unfusedBlockNEON(SB), NOSPLIT, $0-96
	MOVD out_base+0(FP), R0
	MOVD outStride+24(FP), R1
	MOVD x_base+32(FP), R2
	MOVD xStride+56(FP), R3
	MOVD panel_base+64(FP), R4
	MOVD panel_len+72(FP), R17
	MOVD step+88(FP), R9
	HALFBLOCK(UNFUSED)
