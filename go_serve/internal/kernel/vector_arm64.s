#include "textflag.h"

// What happens to vectors between the matrices: the same operations in the same order as scalar.go, none fused. Two
// registers, eight values, at a time.

// Instructions that Go's assembler does not know, by the numbers of their registers (it accepts VFCVTN from S4 to H4, but
// encodes another instruction):
//	FCVTN   fcvtn  vd.4h, vn.4s   four floats to halves
//	FCVTN2  fcvtn2 vd.8h, vn.4s   to the upper four
#define FCVTN(n, d) WORD $(0x0e216800 | n<<5 | d)
#define FCVTN2(n, d) WORD $(0x4e216800 | n<<5 | d)

DATA ·exps<>+0(SB)/4, $0xc2ae0000  // -87
DATA ·exps<>+4(SB)/4, $0x42b00000  // 88
DATA ·exps<>+8(SB)/4, $0x3fb8aa3b  // log2E
DATA ·exps<>+12(SB)/4, $0x3f318000 // ln2High
DATA ·exps<>+16(SB)/4, $0xb95e8083 // ln2Low
DATA ·exps<>+20(SB)/4, $0x3ab60b61 // exp6
DATA ·exps<>+24(SB)/4, $0x3c088889 // exp5
DATA ·exps<>+28(SB)/4, $0x3d2aaaab // exp4
DATA ·exps<>+32(SB)/4, $0x3e2aaaab // exp3
DATA ·exps<>+36(SB)/4, $0x3f000000 // exp2
DATA ·exps<>+40(SB)/4, $0x3f800000 // 1
DATA ·exps<>+44(SB)/4, $127
GLOBL ·exps<>(SB), RODATA, $48

DATA ·erfs<>+0(SB)/4, $0x3f3504f3  // √2/2
DATA ·erfs<>+4(SB)/4, $0x3ea7ba05  // erfP
DATA ·erfs<>+8(SB)/4, $0x3f87dc22  // erfA5
DATA ·erfs<>+12(SB)/4, $0xbfba00e3 // erfA4
DATA ·erfs<>+16(SB)/4, $0x3fb5f0e3 // erfA3
DATA ·erfs<>+20(SB)/4, $0xbe91a98e // erfA2
DATA ·erfs<>+24(SB)/4, $0x3e827906 // erfA1
GLOBL ·erfs<>(SB), RODATA, $28

// BOTH applies op to two registers, with the same constant.
#define BOTH(op, c, a0, a1, b0, b1) \
	op c.S4, a0.S4, b0.S4; \
	op c.S4, a1.S4, b1.S4

// EACH applies op to two registers, each with a register of its own.
#define EACH(op, c0, c1, a0, a1, b0, b1) \
	op c0.S4, a0.S4, b0.S4; \
	op c1.S4, a1.S4, b1.S4

#define EXPCONSTANTS \
	MOVD    $·exps<>(SB), R8; \
	VLD1R.P 4(R8), [V16.S4]; \
	VLD1R.P 4(R8), [V17.S4]; \
	VLD1R.P 4(R8), [V18.S4]; \
	VLD1R.P 4(R8), [V19.S4]; \
	VLD1R.P 4(R8), [V20.S4]; \
	VLD1R.P 4(R8), [V21.S4]; \
	VLD1R.P 4(R8), [V22.S4]; \
	VLD1R.P 4(R8), [V23.S4]; \
	VLD1R.P 4(R8), [V24.S4]; \
	VLD1R.P 4(R8), [V25.S4]; \
	VLD1R.P 4(R8), [V26.S4]; \
	VLD1R.P 4(R8), [V27.S4]

// EXP replaces V0 and V1 by their exp, as Exp in exp.go; what is below the lower bound (V6, V7) becomes 0. V2 to V7 are
// scratch.
#define EXP \
	VFCMGT  V0.S4, V16.S4, V6.S4; \
	VFCMGT  V1.S4, V16.S4, V7.S4; \
	BOTH(VFMIN, V17, V0, V1, V0, V1); \
	BOTH(VFMUL, V18, V0, V1, V2, V3); \
	VFRINTN V2.S4, V2.S4; \
	VFRINTN V3.S4, V3.S4; \
	BOTH(VFMUL, V19, V2, V3, V4, V5); \
	EACH(VFSUB, V4, V5, V0, V1, V0, V1); \
	BOTH(VFMUL, V20, V2, V3, V4, V5); \
	EACH(VFSUB, V4, V5, V0, V1, V0, V1); \
	BOTH(VFMUL, V21, V0, V1, V4, V5); \
	BOTH(VFADD, V22, V4, V5, V4, V5); \
	EACH(VFMUL, V0, V1, V4, V5, V4, V5); \
	BOTH(VFADD, V23, V4, V5, V4, V5); \
	EACH(VFMUL, V0, V1, V4, V5, V4, V5); \
	BOTH(VFADD, V24, V4, V5, V4, V5); \
	EACH(VFMUL, V0, V1, V4, V5, V4, V5); \
	BOTH(VFADD, V25, V4, V5, V4, V5); \
	EACH(VFMUL, V0, V1, V4, V5, V4, V5); \
	BOTH(VFADD, V26, V4, V5, V4, V5); \
	EACH(VFMUL, V0, V1, V4, V5, V4, V5); \
	BOTH(VFADD, V26, V4, V5, V4, V5); \
	VFCVTZS V2.S4, V2.S4; \
	VFCVTZS V3.S4, V3.S4; \
	BOTH(VADD, V27, V2, V3, V2, V3); \
	VSHL    $23, V2.S4, V2.S4; \
	VSHL    $23, V3.S4, V3.S4; \
	EACH(VFMUL, V2, V3, V4, V5, V0, V1); \
	VBIC    V6.B16, V0.B16, V0.B16; \
	VBIC    V7.B16, V1.B16, V1.B16

// func quantizeNEON(dst []byte, x []float32)
TEXT ·quantizeNEON(SB), NOSPLIT, $0-48
	MOVD  dst_base+0(FP), R0
	MOVD  x_base+24(FP), R1
	MOVD  x_len+32(FP), R2
	ADD   R2<<2, R1, R2
	MOVW  $0x42fe0000, R3 // 127
	FMOVS R3, F30
	MOVW  $0x0d800000, R3 // 2^-100
	FMOVS R3, F31

group:
	FLDPQ.P 32(R1), (F0, F1)
	FLDPQ.P 32(R1), (F2, F3)
	FLDPQ.P 32(R1), (F4, F5)
	FLDPQ.P 32(R1), (F6, F7)
	VFABS   V0.S4, V16.S4
	VFABS   V1.S4, V17.S4
	VFABS   V2.S4, V18.S4
	VFABS   V3.S4, V19.S4
	VFABS   V4.S4, V20.S4
	VFABS   V5.S4, V21.S4
	VFABS   V6.S4, V22.S4
	VFABS   V7.S4, V23.S4
	EACH(VFMAX, V16, V17, V18, V19, V16, V17)
	EACH(VFMAX, V20, V21, V22, V23, V18, V19)
	EACH(VFMAX, V16, V17, V18, V19, V16, V17)
	VFMAX   V16.S4, V17.S4, V16.S4
	VFMAXV  V16.S4, V16
	VMOVI   $0, V24.B16
	VMOVI   $0, V25.B16
	FCMPS   F31, F16
	BMI     write // all zero; not taken if there is a NaN
	FDIVS   F30, F16, F24
	FDIVS   F16, F30, F25

write:
	VDUP    V25.S[0], V25.S4
	BOTH(VFMUL, V25, V0, V1, V0, V1)
	BOTH(VFMUL, V25, V2, V3, V2, V3)
	BOTH(VFMUL, V25, V4, V5, V4, V5)
	BOTH(VFMUL, V25, V6, V7, V6, V7)
	VFRINTN V0.S4, V0.S4
	VFRINTN V1.S4, V1.S4
	VFRINTN V2.S4, V2.S4
	VFRINTN V3.S4, V3.S4
	VFRINTN V4.S4, V4.S4
	VFRINTN V5.S4, V5.S4
	VFRINTN V6.S4, V6.S4
	VFRINTN V7.S4, V7.S4
	VFCVTZS V0.S4, V0.S4
	VFCVTZS V1.S4, V1.S4
	VFCVTZS V2.S4, V2.S4
	VFCVTZS V3.S4, V3.S4
	VFCVTZS V4.S4, V4.S4
	VFCVTZS V5.S4, V5.S4
	VFCVTZS V6.S4, V6.S4
	VFCVTZS V7.S4, V7.S4
	EACH(VADD, V0, V1, V2, V3, V16, V17)
	EACH(VADD, V4, V5, V6, V7, V18, V19)
	EACH(VADD, V16, V17, V18, V19, V16, V17)
	VADD    V16.S4, V17.S4, V16.S4
	VADDV   V16.S4, V16
	VSHL    $7, V16.S4, V16.S4
	VNEG    V16.S4, V16.S4
	VUZP1   V1.H8, V0.H8, V0.H8      // the low halves of eight values
	VUZP1   V3.H8, V2.H8, V2.H8
	VUZP1   V5.H8, V4.H8, V4.H8
	VUZP1   V7.H8, V6.H8, V6.H8
	VUZP1   V2.B16, V0.B16, V0.B16   // the low bytes of sixteen
	VUZP1   V6.B16, V4.B16, V4.B16
	FMOVQ   F0, (R0)
	FMOVQ   F4, 16(R0)
	FMOVS   F24, 32(R0)
	FMOVS   F16, 36(R0)
	ADD     $40, R0
	CMP     R2, R1
	BLO     group
	RET

// func softmaxNEON(x []float32)
TEXT ·softmaxNEON(SB), NOSPLIT, $0-24
	MOVD  x_base+0(FP), R0
	MOVD  x_len+8(FP), R1
	ADD   R1<<2, R0, R1
	MOVD  R0, R2
	FLDPQ (R0), (F30, F31)

top:
	FLDPQ.P 32(R2), (F0, F1)
	EACH(VFMAX, V0, V1, V30, V31, V30, V31)
	CMP     R1, R2
	BLO     top

	VFMAX  V30.S4, V31.S4, V30.S4
	VFMAXV V30.S4, V30
	VDUP   V30.S[0], V30.S4
	EXPCONSTANTS
	VMOVI  $0, V28.B16              // the sums of places 0 to 3 of eight
	VMOVI  $0, V29.B16              // and 4 to 7
	MOVD   R0, R2

begin:
	FLDPQ   (R2), (F0, F1)
	BOTH(VFSUB, V30, V0, V1, V0, V1)
	EXP
	FSTPQ.P (F0, F1), 32(R2)
	EACH(VFADD, V0, V1, V28, V29, V28, V29)
	CMP     R1, R2
	BLO     begin

	VFADD V29.S4, V28.S4, V28.S4
	VEXT  $8, V28.B16, V28.B16, V29.B16
	VFADD V29.S4, V28.S4, V28.S4
	VDUP  V28.S[1], V29.S4
	FADDS F29, F28, F28
	FDIVS F28, F26, F28             // V26 is 1
	VDUP  V28.S[0], V28.S4

scale:
	FLDPQ   (R0), (F0, F1)
	BOTH(VFMUL, V28, V0, V1, V0, V1)
	FSTPQ.P (F0, F1), 32(R0)
	CMP     R1, R0
	BLO     scale
	RET

// func swigluNEON(gate, up []float32)
TEXT ·swigluNEON(SB), NOSPLIT, $0-48
	MOVD gate_base+0(FP), R0
	MOVD gate_len+8(FP), R1
	MOVD up_base+24(FP), R2
	ADD  R1<<2, R0, R1
	EXPCONSTANTS

next:
	FLDPQ   (R0), (F28, F29)
	FLDPQ.P 32(R2), (F30, F31)
	VFNEG   V28.S4, V0.S4
	VFNEG   V29.S4, V1.S4
	EXP
	BOTH(VFADD, V26, V0, V1, V0, V1)
	EACH(VFDIV, V0, V1, V28, V29, V0, V1)
	EACH(VFMUL, V30, V31, V0, V1, V0, V1)
	FSTPQ.P (F0, F1), 32(R0)
	CMP     R1, R0
	BLO     next
	RET

// func geluNEON(x []float32)
TEXT ·geluNEON(SB), NOSPLIT, $0-24
	MOVD    x_base+0(FP), R0
	MOVD    x_len+8(FP), R1
	ADD     R1<<2, R0, R1
	EXPCONSTANTS
	MOVD    $·erfs<>(SB), R8
	VLD1R.P 4(R8), [V8.S4]
	VLD1R.P 4(R8), [V9.S4]
	VLD1R.P 4(R8), [V10.S4]
	VLD1R.P 4(R8), [V11.S4]
	VLD1R.P 4(R8), [V12.S4]
	VLD1R.P 4(R8), [V13.S4]
	VLD1R.P 4(R8), [V14.S4]

next:
	FLDPQ   (R0), (F0, F1)
	VFABS   V0.S4, V0.S4
	VFABS   V1.S4, V1.S4
	BOTH(VFMUL, V8, V0, V1, V0, V1)         // z
	BOTH(VFMUL, V9, V0, V1, V2, V3)
	BOTH(VFADD, V26, V2, V3, V2, V3)
	EACH(VFDIV, V2, V3, V26, V26, V2, V3)   // t
	BOTH(VFMUL, V10, V2, V3, V30, V31)
	BOTH(VFADD, V11, V30, V31, V30, V31)
	EACH(VFMUL, V2, V3, V30, V31, V30, V31)
	BOTH(VFADD, V12, V30, V31, V30, V31)
	EACH(VFMUL, V2, V3, V30, V31, V30, V31)
	BOTH(VFADD, V13, V30, V31, V30, V31)
	EACH(VFMUL, V2, V3, V30, V31, V30, V31)
	BOTH(VFADD, V14, V30, V31, V30, V31)
	EACH(VFMUL, V2, V3, V30, V31, V30, V31) // the polynomial times t
	EACH(VFMUL, V0, V1, V0, V1, V0, V1)
	VFNEG   V0.S4, V0.S4
	VFNEG   V1.S4, V1.S4
	EXP
	EACH(VFMUL, V0, V1, V30, V31, V0, V1)
	EACH(VFSUB, V0, V1, V26, V26, V0, V1)   // erf(z)
	FLDPQ   (R0), (F2, F3)
	BOTH(VFMUL, V25, V2, V3, V2, V3)        // v/2: V25 is 1/2
	VFABS   V2.S4, V4.S4
	VFABS   V3.S4, V5.S4
	EACH(VFMUL, V0, V1, V4, V5, V0, V1)
	EACH(VFADD, V0, V1, V2, V3, V0, V1)
	FSTPQ.P (F0, F1), 32(R0)
	CMP     R1, R0
	BLO     next
	RET

// func halvesNEON(dst []byte, x []float32)
TEXT ·halvesNEON(SB), NOSPLIT, $0-48
	MOVD dst_base+0(FP), R0
	MOVD x_base+24(FP), R1
	MOVD x_len+32(FP), R2
	ADD  R2<<2, R1, R2

next:
	FLDPQ.P 32(R1), (F0, F1)
	FLDPQ.P 32(R1), (F2, F3)
	FCVTN(0, 4)
	FCVTN2(1, 4)
	FCVTN(2, 5)
	FCVTN2(3, 5)
	FSTPQ.P (F4, F5), 32(R0)
	CMP     R2, R1
	BLO     next
	RET
