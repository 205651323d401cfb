#include "textflag.h"

// softmax, swiglu and gelu with AVX-512: the same steps as in vector_amd64.s, on sixteen values at a time. See there for
// comments.

DATA ·constants<>+0(SB)/4, $0xc2ae0000  // -87
DATA ·constants<>+4(SB)/4, $0x42b00000  // 88
DATA ·constants<>+8(SB)/4, $0x3fb8aa3b  // log2 e
DATA ·constants<>+12(SB)/4, $0x3f318000 // ln 2, first part
DATA ·constants<>+16(SB)/4, $0xb95e8083 // second part
DATA ·constants<>+20(SB)/4, $0x3ab60b61 // 1/720
DATA ·constants<>+24(SB)/4, $0x3c088889 // 1/120
DATA ·constants<>+28(SB)/4, $0x3d2aaaab // 1/24
DATA ·constants<>+32(SB)/4, $0x3e2aaaab // 1/6
DATA ·constants<>+36(SB)/4, $0x3f000000 // 1/2
DATA ·constants<>+40(SB)/4, $0x3f800000 // 1
DATA ·constants<>+44(SB)/4, $127
DATA ·constants<>+48(SB)/4, $0x80000000 // the sign
DATA ·constants<>+52(SB)/4, $0x3f3504f3 // sqrt 1/2
DATA ·constants<>+56(SB)/4, $0x3ea7ba05 // erfP
DATA ·constants<>+60(SB)/4, $0x3e827906 // erfA1
DATA ·constants<>+64(SB)/4, $0xbe91a98e
DATA ·constants<>+68(SB)/4, $0x3fb5f0e3
DATA ·constants<>+72(SB)/4, $0xbfba00e3
DATA ·constants<>+76(SB)/4, $0x3f87dc22 // erfA5
GLOBL ·constants<>(SB), RODATA, $80

#define CONSTANTS \
	VBROADCASTSS ·constants<>+0(SB), Z16; \
	VBROADCASTSS ·constants<>+4(SB), Z17; \
	VBROADCASTSS ·constants<>+8(SB), Z18; \
	VBROADCASTSS ·constants<>+12(SB), Z19; \
	VBROADCASTSS ·constants<>+16(SB), Z20; \
	VBROADCASTSS ·constants<>+20(SB), Z21; \
	VBROADCASTSS ·constants<>+24(SB), Z22; \
	VBROADCASTSS ·constants<>+28(SB), Z23; \
	VBROADCASTSS ·constants<>+32(SB), Z24; \
	VBROADCASTSS ·constants<>+36(SB), Z25; \
	VBROADCASTSS ·constants<>+40(SB), Z26; \
	VPBROADCASTD ·constants<>+44(SB), Z27; \
	VPBROADCASTD ·constants<>+48(SB), Z28

// EXP replaces Z0 by exp(Z0); K1 marks where Z0 is not below the lower bound. Z1 and Z2 are scratch.
#define EXP \
	VCMPPS      $5, Z16, Z0, K1; \
	VMINPS     Z0, Z17, Z0; \
	VMULPS     Z18, Z0, Z1; \
	VRNDSCALEPS $0, Z1, Z1; \
	VMULPS     Z19, Z1, Z2; \
	VSUBPS     Z2, Z0, Z0; \
	VMULPS     Z20, Z1, Z2; \
	VSUBPS     Z2, Z0, Z0; \
	VMULPS     Z0, Z21, Z2; \
	VADDPS     Z22, Z2, Z2; \
	VMULPS     Z0, Z2, Z2; \
	VADDPS     Z23, Z2, Z2; \
	VMULPS     Z0, Z2, Z2; \
	VADDPS     Z24, Z2, Z2; \
	VMULPS     Z0, Z2, Z2; \
	VADDPS     Z25, Z2, Z2; \
	VMULPS     Z0, Z2, Z2; \
	VADDPS     Z26, Z2, Z2; \
	VMULPS     Z0, Z2, Z2; \
	VADDPS     Z26, Z2, Z2; \
	VCVTPS2DQ  Z1, Z1; \
	VPADDD     Z27, Z1, Z1; \
	VPSLLD     $23, Z1, Z1; \
	VMULPS.Z   Z1, Z2, K1, Z0

// func softmaxAVX512(x []float32)
TEXT ·softmaxAVX512(SB), NOSPLIT, $0-24
	MOVQ         x_base+0(FP), DI
	MOVQ         x_len+8(FP), CX
	LEAQ         (DI)(CX*4), CX
	MOVQ         DI, AX
	VBROADCASTSS (DI), Z15

top:
	VMAXPS (AX), Z15, Z15
	ADDQ   $64, AX
	CMPQ   AX, CX
	JB     top

	VEXTRACTF64X4 $1, Z15, Y0
	VMAXPS        Y15, Y0, Y15
	VEXTRACTF128  $1, Y15, X0
	VMAXPS        X15, X0, X15
	VMOVHLPS      X15, X15, X0
	VMAXPS        X15, X0, X15
	VMOVSHDUP     X15, X0
	VMAXSS        X15, X0, X15
	VBROADCASTSS  X15, Z15
	CONSTANTS
	VXORPS        Y3, Y3, Y3    // the sum, in eight parts
	MOVQ          DI, AX

next:
	VMOVUPS       (AX), Z0
	VSUBPS        Z15, Z0, Z0
	EXP
	VMOVUPS       Z0, (AX)
	VADDPS        Y0, Y3, Y3
	VEXTRACTF64X4 $1, Z0, Y0
	VADDPS        Y0, Y3, Y3
	ADDQ          $64, AX
	CMPQ          AX, CX
	JB            next

	VEXTRACTF128 $1, Y3, X1
	VADDPS       X1, X3, X0
	VMOVHLPS     X0, X0, X1
	VADDPS       X1, X0, X0
	VMOVSHDUP    X0, X1
	VADDSS       X1, X0, X0
	VDIVSS       X0, X26, X0
	VBROADCASTSS X0, Z0

scale:
	VMULPS  (DI), Z0, Z1
	VMOVUPS Z1, (DI)
	ADDQ    $64, DI
	CMPQ    DI, CX
	JB      scale
	VZEROUPPER
	RET

// func swigluAVX512(gate, up []float32)
TEXT ·swigluAVX512(SB), NOSPLIT, $0-48
	MOVQ gate_base+0(FP), DI
	MOVQ gate_len+8(FP), CX
	MOVQ up_base+24(FP), SI
	LEAQ (DI)(CX*4), CX
	CONSTANTS

next:
	VMOVUPS (DI), Z5
	VPXORD  Z28, Z5, Z0
	EXP
	VADDPS  Z26, Z0, Z0
	VDIVPS  Z0, Z5, Z0
	VMULPS  (SI), Z0, Z0
	VMOVUPS Z0, (DI)
	ADDQ    $64, DI
	ADDQ    $64, SI
	CMPQ    DI, CX
	JB      next
	VZEROUPPER
	RET

// func geluAVX512(x []float32)
TEXT ·geluAVX512(SB), NOSPLIT, $0-24
	MOVQ         x_base+0(FP), DI
	MOVQ         x_len+8(FP), CX
	LEAQ         (DI)(CX*4), CX
	CONSTANTS
	VBROADCASTSS ·constants<>+52(SB), Z6
	VBROADCASTSS ·constants<>+56(SB), Z7
	VBROADCASTSS ·constants<>+60(SB), Z8
	VBROADCASTSS ·constants<>+64(SB), Z9
	VBROADCASTSS ·constants<>+68(SB), Z10
	VBROADCASTSS ·constants<>+72(SB), Z11
	VBROADCASTSS ·constants<>+76(SB), Z12

next:
	VMOVUPS (DI), Z5
	VPANDND Z5, Z28, Z0  // |v|
	VMULPS  Z6, Z0, Z0   // z
	VMULPS  Z0, Z7, Z1
	VADDPS  Z26, Z1, Z1
	VDIVPS  Z1, Z26, Z1  // t
	VMULPS  Z1, Z12, Z4
	VADDPS  Z11, Z4, Z4
	VMULPS  Z1, Z4, Z4
	VADDPS  Z10, Z4, Z4
	VMULPS  Z1, Z4, Z4
	VADDPS  Z9, Z4, Z4
	VMULPS  Z1, Z4, Z4
	VADDPS  Z8, Z4, Z4
	VMULPS  Z1, Z4, Z4   // the polynomial times t
	VMULPS  Z0, Z0, Z0
	VPXORD  Z28, Z0, Z0
	EXP
	VMULPS  Z0, Z4, Z0
	VSUBPS  Z0, Z26, Z0  // erf(z)
	VMULPS  Z5, Z25, Z1  // v/2
	VPANDND Z1, Z28, Z2
	VMULPS  Z0, Z2, Z0
	VADDPS  Z0, Z1, Z0
	VMOVUPS Z0, (DI)
	ADDQ    $64, DI
	CMPQ    DI, CX
	JB      next
	VZEROUPPER
	RET
