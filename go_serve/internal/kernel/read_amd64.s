#include "textflag.h"

// func readAVX(data []byte)
TEXT ·readAVX(SB), NOSPLIT, $0-24
	MOVQ data_base+0(FP), SI
	MOVQ data_len+8(FP), CX
	ADDQ SI, CX

next:
	PREFETCHT0 2048(SI)
	PREFETCHT0 2112(SI)
	PREFETCHT0 2176(SI)
	PREFETCHT0 2240(SI)
	VMOVDQU    (SI), Y0
	VMOVDQU    32(SI), Y1
	VMOVDQU    64(SI), Y2
	VMOVDQU    96(SI), Y3
	VMOVDQU    128(SI), Y4
	VMOVDQU    160(SI), Y5
	VMOVDQU    192(SI), Y6
	VMOVDQU    224(SI), Y7
	ADDQ       $256, SI
	CMPQ       SI, CX
	JB         next
	VZEROUPPER
	RET
