#include "textflag.h"

// Products for processors without AVX2, with SSE4.1 and SSSE3: a panel's 16 rows are four vectors of four. X0 to X3 are the
// sums, X4 to X7 the results; one token at a time, as there are no registers for more.

#define FOUR(name, value) \
	DATA name+0(SB)/4, value; \
	DATA name+4(SB)/4, value; \
	DATA name+8(SB)/4, value; \
	DATA name+12(SB)/4, value; \
	GLOBL name(SB), RODATA|NOPTR, $16

FOUR(·flipSSE<>, $0x80808080)
FOUR(·low4SSE<>, $0x0f0f0f0f)
FOUR(·onesSSE<>, $0x00010001)
FOUR(·noSign<>, $0x7fff)
FOUR(·signSSE<>, $0x80000000)
FOUR(·lastSubnormal<>, $0x03ff)
FOUR(·lastFinite<>, $0x7bff)
FOUR(·infinity<>, $0x7f800000)
FOUR(·exponent112<>, $0x38000000)
FOUR(·exponent113<>, $0x38800000) // 2^-14

// FLOATS turns four halves at src into floats in X8, as HalfToFloat does, but without any subnormal float, with which many
// processors are slow. X9 gets (2^-14 + m·2^-24) - 2^-14, which is right if a half is subnormal (the bits of the sum are m <<
// 13
// exponent113). X8 gets the exponent plus 112, which is right if it is not. X9 to X11 are scratch.
#define FLOATS(src) \
	PMOVZXWD src, X8; \
	PAND     ·noSign<>(SB), X8; \
	MOVO     X8, X10; \
	PSLLL    $13, X8; \
	MOVO     X8, X9; \
	PADDL    ·exponent113<>(SB), X9; \
	SUBPS    ·exponent113<>(SB), X9; \
	PADDL    ·exponent112<>(SB), X8; \
	MOVO     X10, X11; \
	PCMPGTL  ·lastFinite<>(SB), X11; \
	PAND     ·infinity<>(SB), X11; \
	POR      X11, X8; \
	PCMPGTL  ·lastSubnormal<>(SB), X10; \
	PAND     X10, X8; \
	PANDN    X9, X10; \
	POR      X10, X8; \
	PMOVSXWD src, X11; \
	PAND     ·signSSE<>(SB), X11; \
	POR      X11, X8

// DOT: acc += w · a in four rows of four signed bytes, as in quant_amd64.s: the sum of two products |w|·(a with w's sign) stays
// below 2^15. w and tmp are overwritten.
#define DOT(w, a, tmp, acc) \
	MOVO      a, tmp; \
	PSIGNB    w, tmp; \
	PABSB     w, w; \
	PMADDUBSW tmp, w; \
	PMADDWL   X12, w; \
	PADDL     w, acc

// BROADCAST fills a vector with the four bytes at src.
#define BROADCAST(src, a) \
	MOVSS  src, a; \
	SHUFPS $0, a, a

// EPILOGUE: acc += float(sum) · (scales · s), each operation rounded (docs/formats.md).
#define EPILOGUE(scales, sum, acc) \
	FLOATS(scales); \
	BROADCAST(32(AX), X9); \
	MULPS    X9, X8; \
	CVTPL2PS sum, sum; \
	MULPS    X8, sum; \
	ADDPS    sum, acc

#define CLEAR(a, b, c, d) \
	PXOR a, a; \
	PXOR b, b; \
	PXOR c, c; \
	PXOR d, d

#define STORE(a, b, c, d) \
	MOVUPS a, (DI); \
	MOVUPS b, 16(DI); \
	MOVUPS c, 32(DI); \
	MOVUPS d, 48(DI); \
	ADDQ   $64, DI

// ONE_TOKEN goes through panels and groups; BODY adds a group's products to X0 to X3.
#define ONE_TOKEN(BODY, bytes) \
	MOVQ  out_base+0(FP), DI; \
	MOVQ  out_len+8(FP), DX; \
	MOVQ  x_base+24(FP), SI; \
	MOVQ  x_len+32(FP), CX; \
	MOVQ  panels_base+48(FP), BX; \
	ADDQ  SI, CX; \
	MOVOU ·onesSSE<>(SB), X12; \
panel: \
	MOVQ  SI, AX; \
	CLEAR(X4, X5, X6, X7); \
group: \
	CLEAR(X0, X1, X2, X3); \
	BODY; \
	EPILOGUE(0(BX), X0, X4); \
	EPILOGUE(8(BX), X1, X5); \
	EPILOGUE(16(BX), X2, X6); \
	EPILOGUE(24(BX), X3, X7); \
	ADDQ  bytes, BX; \
	ADDQ  $40, AX; \
	CMPQ  AX, CX; \
	JB    group; \
	STORE(X4, X5, X6, X7); \
	SUBQ  $16, DX; \
	JA    panel; \
	RET

#define ROWS_Q8(src, acc) \
	MOVOU src, X8; \
	PXOR  X13, X8; \
	DOT(X8, X10, X11, acc)

#define QUAD(at, src) \
	BROADCAST(at(AX), X10); \
	ROWS_Q8(src+0(BX), X0); \
	ROWS_Q8(src+16(BX), X1); \
	ROWS_Q8(src+32(BX), X2); \
	ROWS_Q8(src+48(BX), X3)

// X13 turns stored bytes into signed ones: x ^ 128 = x - 128.
#define BODY_Q8 \
	QUAD(0, 32); \
	QUAD(4, 96); \
	QUAD(8, 160); \
	QUAD(12, 224); \
	QUAD(16, 288); \
	QUAD(20, 352); \
	QUAD(24, 416); \
	QUAD(28, 480)

// func q8SSE4(out []float32, x, panels []byte)
TEXT ·q8SSE4(SB), NOSPLIT, $0-72
	MOVOU ·flipSSE<>(SB), X13
	ONE_TOKEN(BODY_Q8, $544)

// ROWS_Q4 looks up 16 double codes: the low ones are multiplied by X10, the high ones by X11. X14 is the codebook, signed, X13
// the mask.
#define ROWS_Q4(src, acc) \
	MOVOU  src, X8; \
	MOVO   X8, X9; \
	PSRLW  $4, X9; \
	PAND   X13, X8; \
	PAND   X13, X9; \
	MOVO   X14, X15; \
	PSHUFB X8, X15; \
	DOT(X15, X10, X8, acc); \
	MOVO   X14, X15; \
	PSHUFB X9, X15; \
	DOT(X15, X11, X9, acc)

#define DOUBLE(at, src) \
	BROADCAST(at(AX), X10); \
	BROADCAST(at+16(AX), X11); \
	ROWS_Q4(src+0(BX), X0); \
	ROWS_Q4(src+16(BX), X1); \
	ROWS_Q4(src+32(BX), X2); \
	ROWS_Q4(src+48(BX), X3)

#define BODY_Q4 \
	DOUBLE(0, 32); \
	DOUBLE(4, 96); \
	DOUBLE(8, 160); \
	DOUBLE(12, 224)

// func q4SSE4(out []float32, x, panels []byte)
TEXT ·q4SSE4(SB), NOSPLIT, $0-72
	MOVOU ·low4SSE<>(SB), X13
	MOVOU ·codebook(SB), X14
	PXOR  ·flipSSE<>(SB), X14
	ONE_TOKEN(BODY_Q4, $288)

// ROWS_HALF: acc += w · x for four rows, the product rounded. X7 is x.
#define ROWS_HALF(src, acc) \
	FLOATS(src); \
	MULPS X7, X8; \
	ADDPS X8, acc

// func halfSSE4(out, x []float32, panels []byte, stride, step int)
TEXT ·halfSSE4(SB), NOSPLIT, $0-88
	MOVQ out_base+0(FP), DI
	MOVQ out_len+8(FP), DX
	MOVQ x_base+24(FP), SI
	MOVQ x_len+32(FP), CX
	MOVQ panels_base+48(FP), BX
	MOVQ stride+72(FP), R12
	MOVQ step+80(FP), R13
	LEAQ (SI)(CX*4), CX

panel:
	MOVQ SI, AX
	MOVQ BX, R8
	CLEAR(X0, X1, X2, X3)

column:
	BROADCAST((AX), X7)
	ROWS_HALF(0(R8), X0)
	ROWS_HALF(8(R8), X1)
	ROWS_HALF(16(R8), X2)
	ROWS_HALF(24(R8), X3)
	ADDQ R13, R8
	ADDQ $4, AX
	CMPQ AX, CX
	JB   column

	STORE(X0, X1, X2, X3)
	ADDQ R12, BX
	SUBQ $16, DX
	JA   panel
	RET
