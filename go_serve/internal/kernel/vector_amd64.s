#include "textflag.h"

// What happens to vectors between the matrices, with AVX2: the same operations in the same order as scalar.go, none fused.

#define CONSTANT(name, bits) \
	DATA name<>+0(SB)/4, bits; \
	GLOBL name<>(SB), RODATA, $4

CONSTANT(·signBit, $0x80000000)
CONSTANT(·absBits, $0x7fffffff)
CONSTANT(·c127, $127)
CONSTANT(·f127, $127.0)
CONSTANT(·low, $0xc2ae0000)  // -87
CONSTANT(·high, $0x42b00000) // 88
CONSTANT(·log2e, $0x3fb8aa3b)
CONSTANT(·ln2high, $0x3f318000)
CONSTANT(·ln2low, $0xb95e8083)
CONSTANT(·exp2, $0x3f000000)
CONSTANT(·exp3, $0x3e2aaaab)
CONSTANT(·exp4, $0x3d2aaaab)
CONSTANT(·exp5, $0x3c088889)
CONSTANT(·exp6, $0x3ab60b61)
CONSTANT(·one, $0x3f800000)
CONSTANT(·rootHalf, $0x3f3504f3)
CONSTANT(·erfP, $0x3ea7ba05)
CONSTANT(·erfA1, $0x3e827906)
CONSTANT(·erfA2, $0xbe91a98e)
CONSTANT(·erfA3, $0x3fb5f0e3)
CONSTANT(·erfA4, $0xbfba00e3)
CONSTANT(·erfA5, $0x3f87dc22)

// EXP replaces Y0 by exp(Y0), as Exp in exp.go; what is below the lower bound (Y4) becomes 0. Y1 to Y4 are scratch.
#define EXPCONSTANTS \
	VBROADCASTSS ·low<>(SB), Y5; \
	VBROADCASTSS ·high<>(SB), Y6; \
	VBROADCASTSS ·log2e<>(SB), Y7; \
	VBROADCASTSS ·ln2high<>(SB), Y8; \
	VBROADCASTSS ·ln2low<>(SB), Y9; \
	VBROADCASTSS ·exp5<>(SB), Y10; \
	VBROADCASTSS ·exp4<>(SB), Y11; \
	VBROADCASTSS ·exp3<>(SB), Y12; \
	VBROADCASTSS ·exp2<>(SB), Y13; \
	VBROADCASTSS ·one<>(SB), Y14

#define EXP \
	VCMPPS       $5, Y5, Y0, Y4; \
	VMINPS       Y0, Y6, Y0; \
	VMULPS       Y7, Y0, Y1; \
	VROUNDPS     $0, Y1, Y1; \
	VMULPS       Y8, Y1, Y2; \
	VSUBPS       Y2, Y0, Y0; \
	VMULPS       Y9, Y1, Y2; \
	VSUBPS       Y2, Y0, Y0; \
	VBROADCASTSS ·exp6<>(SB), Y2; \
	VMULPS       Y0, Y2, Y2; \
	VADDPS       Y10, Y2, Y2; \
	VMULPS       Y0, Y2, Y2; \
	VADDPS       Y11, Y2, Y2; \
	VMULPS       Y0, Y2, Y2; \
	VADDPS       Y12, Y2, Y2; \
	VMULPS       Y0, Y2, Y2; \
	VADDPS       Y13, Y2, Y2; \
	VMULPS       Y0, Y2, Y2; \
	VADDPS       Y14, Y2, Y2; \
	VMULPS       Y0, Y2, Y2; \
	VADDPS       Y14, Y2, Y2; \
	VCVTPS2DQ    Y1, Y1; \
	VPBROADCASTD ·c127<>(SB), Y3; \
	VPADDD       Y3, Y1, Y1; \
	VPSLLD       $23, Y1, Y1; \
	VMULPS       Y1, Y2, Y0; \
	VANDPS       Y4, Y0, Y0

// func quantizeAVX2(dst []byte, x []float32)
TEXT ·quantizeAVX2(SB), NOSPLIT, $0-48
	MOVQ         dst_base+0(FP), DI
	MOVQ         x_base+24(FP), SI
	MOVQ         x_len+32(FP), CX
	LEAQ         (SI)(CX*4), CX
	VBROADCASTSS ·absBits<>(SB), Y15
	VMOVSS       ·f127<>(SB), X14

group:
	VMOVUPS      (SI), Y0
	VMOVUPS      32(SI), Y1
	VMOVUPS      64(SI), Y2
	VMOVUPS      96(SI), Y3
	VANDPS       Y15, Y0, Y4
	VANDPS       Y15, Y1, Y5
	VANDPS       Y15, Y2, Y6
	VANDPS       Y15, Y3, Y7
	VPMAXSD      Y4, Y5, Y4 // compared as integers, which order in the same way, so that a NaN is the largest
	VPMAXSD      Y6, Y7, Y6
	VPMAXSD      Y4, Y6, Y4
	VEXTRACTI128 $1, Y4, X5
	VPMAXSD      X4, X5, X4
	VPSHUFD      $0x4e, X4, X5
	VPMAXSD      X4, X5, X4
	VPSHUFD      $0xb1, X4, X5
	VPMAXSD      X4, X5, X4
	VXORPS       X5, X5, X5
	VXORPS       X6, X6, X6
	VMOVD        X4, AX
	CMPL         AX, $0x0d800000 // 2^-100
	JB           write           // all zero
	VDIVSS       X14, X4, X5
	VDIVSS       X4, X14, X6

write:
	VBROADCASTSS X6, Y6
	VMULPS       Y6, Y0, Y0
	VMULPS       Y6, Y1, Y1
	VMULPS       Y6, Y2, Y2
	VMULPS       Y6, Y3, Y3
	VCVTPS2DQ    Y0, Y0
	VCVTPS2DQ    Y1, Y1
	VCVTPS2DQ    Y2, Y2
	VCVTPS2DQ    Y3, Y3
	VPADDD       Y0, Y1, Y7
	VPADDD       Y2, Y3, Y8
	VPADDD       Y7, Y8, Y7
	VEXTRACTI128 $1, Y7, X8
	VPADDD       X7, X8, X7
	VPSHUFD      $0x4e, X7, X8
	VPADDD       X7, X8, X7
	VPSHUFD      $0xb1, X7, X8
	VPADDD       X7, X8, X7
	VMOVD        X7, AX
	SHLL         $7, AX
	NEGL         AX
	VPACKSSDW    Y1, Y0, Y0 // within each 128 bits: 0 1 | 0 1
	VPACKSSDW    Y3, Y2, Y2
	VPACKSSWB    Y2, Y0, Y0 // 0 1 2 3 | 0 1 2 3, four bytes each
	VMOVDQU      ·unpack<>(SB), Y1
	VPERMD       Y0, Y1, Y0
	VMOVDQU      Y0, (DI)
	VMOVSS       X5, 32(DI)
	MOVL         AX, 36(DI)
	ADDQ         $128, SI
	ADDQ         $40, DI
	CMPQ         SI, CX
	JB           group
	VZEROUPPER
	RET

DATA ·unpack<>+0(SB)/4, $0
DATA ·unpack<>+4(SB)/4, $4
DATA ·unpack<>+8(SB)/4, $1
DATA ·unpack<>+12(SB)/4, $5
DATA ·unpack<>+16(SB)/4, $2
DATA ·unpack<>+20(SB)/4, $6
DATA ·unpack<>+24(SB)/4, $3
DATA ·unpack<>+28(SB)/4, $7
GLOBL ·unpack<>(SB), RODATA, $32

// func softmaxAVX2(x []float32)
TEXT ·softmaxAVX2(SB), NOSPLIT, $32-24
	MOVQ         x_base+0(FP), DI
	MOVQ         x_len+8(FP), CX
	LEAQ         (DI)(CX*4), CX
	MOVQ         DI, AX
	VBROADCASTSS (DI), Y15

top:
	VMAXPS (AX), Y15, Y15
	ADDQ   $32, AX
	CMPQ   AX, CX
	JB     top

	VEXTRACTF128 $1, Y15, X0
	VMAXPS       X15, X0, X15
	VMOVHLPS     X15, X15, X0
	VMAXPS       X15, X0, X15
	VMOVSHDUP    X15, X0
	VMAXSS       X15, X0, X15
	VBROADCASTSS X15, Y15
	EXPCONSTANTS
	VXORPS       X3, X3, X3
	VMOVUPS      Y3, parts-32(SP)
	MOVQ         DI, AX

begin:
	VMOVUPS (AX), Y0
	VSUBPS  Y15, Y0, Y0
	EXP
	VMOVUPS Y0, (AX)
	VMOVUPS parts-32(SP), Y3
	VADDPS  Y0, Y3, Y3
	VMOVUPS Y3, parts-32(SP)
	ADDQ    $32, AX
	CMPQ    AX, CX
	JB      begin

	VMOVUPS      parts-32(SP), Y0
	VEXTRACTF128 $1, Y0, X1
	VADDPS       X1, X0, X0
	VMOVHLPS     X0, X0, X1
	VADDPS       X1, X0, X0
	VMOVSHDUP    X0, X1
	VADDSS       X1, X0, X0
	VMOVSS       ·one<>(SB), X1
	VDIVSS       X0, X1, X0
	VBROADCASTSS X0, Y0

scale:
	VMULPS  (DI), Y0, Y1
	VMOVUPS Y1, (DI)
	ADDQ    $32, DI
	CMPQ    DI, CX
	JB      scale
	VZEROUPPER
	RET

// func swigluAVX2(gate, up []float32)
TEXT ·swigluAVX2(SB), NOSPLIT, $0-48
	MOVQ         gate_base+0(FP), DI
	MOVQ         gate_len+8(FP), CX
	MOVQ         up_base+24(FP), SI
	LEAQ         (DI)(CX*4), CX
	EXPCONSTANTS
	VBROADCASTSS ·signBit<>(SB), Y15

next:
	VMOVUPS (DI), Y0
	VXORPS  Y15, Y0, Y0
	EXP
	VADDPS  Y14, Y0, Y0
	VMOVUPS (DI), Y1
	VDIVPS  Y0, Y1, Y0
	VMULPS  (SI), Y0, Y0
	VMOVUPS Y0, (DI)
	ADDQ    $32, DI
	ADDQ    $32, SI
	CMPQ    DI, CX
	JB      next
	VZEROUPPER
	RET

// func geluAVX2(x []float32)
TEXT ·geluAVX2(SB), NOSPLIT, $0-24
	MOVQ x_base+0(FP), DI
	MOVQ x_len+8(FP), CX
	LEAQ (DI)(CX*4), CX
	EXPCONSTANTS

next:
	VBROADCASTSS ·absBits<>(SB), Y1
	VANDPS       (DI), Y1, Y0
	VBROADCASTSS ·rootHalf<>(SB), Y1
	VMULPS       Y1, Y0, Y0          // z
	VBROADCASTSS ·erfP<>(SB), Y1
	VMULPS       Y0, Y1, Y1
	VADDPS       Y14, Y1, Y1
	VDIVPS       Y1, Y14, Y1         // t
	VBROADCASTSS ·erfA5<>(SB), Y15
	VMULPS       Y1, Y15, Y15
	VBROADCASTSS ·erfA4<>(SB), Y2
	VADDPS       Y2, Y15, Y15
	VMULPS       Y1, Y15, Y15
	VBROADCASTSS ·erfA3<>(SB), Y2
	VADDPS       Y2, Y15, Y15
	VMULPS       Y1, Y15, Y15
	VBROADCASTSS ·erfA2<>(SB), Y2
	VADDPS       Y2, Y15, Y15
	VMULPS       Y1, Y15, Y15
	VBROADCASTSS ·erfA1<>(SB), Y2
	VADDPS       Y2, Y15, Y15
	VMULPS       Y1, Y15, Y15        // the polynomial times t
	VMULPS       Y0, Y0, Y0
	VBROADCASTSS ·signBit<>(SB), Y1
	VXORPS       Y1, Y0, Y0
	EXP
	VMULPS       Y0, Y15, Y0
	VSUBPS       Y0, Y14, Y0         // erf(z)
	VMULPS       (DI), Y13, Y1       // v/2: Y13 is 1/2
	VBROADCASTSS ·absBits<>(SB), Y2
	VANDPS       Y1, Y2, Y2
	VMULPS       Y0, Y2, Y0
	VADDPS       Y0, Y1, Y0
	VMOVUPS      Y0, (DI)
	ADDQ         $32, DI
	CMPQ         DI, CX
	JB           next
	VZEROUPPER
	RET

// func halvesAVX2(dst []byte, x []float32)
TEXT ·halvesAVX2(SB), NOSPLIT, $0-48
	MOVQ dst_base+0(FP), DI
	MOVQ x_base+24(FP), SI
	MOVQ x_len+32(FP), CX
	LEAQ (SI)(CX*4), CX

next:
	VMOVUPS   (SI), Y0
	VCVTPS2PH $0, Y0, (DI)
	ADDQ      $32, SI
	ADDQ      $16, DI
	CMPQ      SI, CX
	JB        next
	VZEROUPPER
	RET
