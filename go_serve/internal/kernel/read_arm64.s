#include "textflag.h"

// func readNEON(data []byte)
TEXT ·readNEON(SB), NOSPLIT, $0-24
	MOVD data_base+0(FP), R0
	MOVD data_len+8(FP), R1
	ADD  R0, R1, R1

next:
	FLDPQ (R0), (F0, F1)
	FLDPQ 32(R0), (F2, F3)
	FLDPQ 64(R0), (F4, F5)
	FLDPQ 96(R0), (F6, F7)
	FLDPQ 128(R0), (F16, F17)
	FLDPQ 160(R0), (F18, F19)
	FLDPQ 192(R0), (F20, F21)
	FLDPQ 224(R0), (F22, F23)
	ADD   $256, R0
	CMP   R1, R0
	BLO   next
	RET
