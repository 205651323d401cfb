package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// rounded returns n random numbers that fp16 holds exactly.
func rounded(random *rand.Rand, n int) []float32 {
	x := values(random, n, 1)
	for i := range x {
		x[i] = HalfToFloat(FloatToHalf(x[i]))
	}
	return x
}

// attendExample is a cache of some shape, filled, and queries for a block of tokens.
type attendExample struct {
	heads, width, positions int
	start, tokens           int
	keys, values            []float32 // [positions][heads·width]
	queries                 []float32 // [Block][qStride]
	qStride, outStride      int
}

func newAttendExample(random *rand.Rand) *attendExample {
	e := &attendExample{heads: 1 + random.IntN(3), width: 2 * (1 + random.IntN(40)), tokens: 1 + random.IntN(Block)}
	if random.IntN(3) == 0 {
		e.tokens = 1
	}
	e.start = random.IntN(70)
	e.positions = e.start + e.tokens + random.IntN(40)
	row := e.heads * e.width
	e.keys, e.values = rounded(random, e.positions*row), rounded(random, e.positions*row)
	e.qStride, e.outStride = row+random.IntN(20), row+random.IntN(20)
	e.queries = values(random, Block*e.qStride, 1/math.Sqrt(float64(e.width)))
	return e
}

func (e *attendExample) String() string {
	return fmt.Sprintf("%d heads of %d, tokens %d to %d of %d", e.heads, e.width, e.start, e.start+e.tokens-1, e.positions)
}

// attend stores everything, behind the last token NaNs as a longer text might have left them, and attends for every head.
func (e *attendExample) attend() []float32 {
	c := NewCache(e.heads, e.width, e.positions)
	s := c.NewScratch()
	row := e.heads * e.width
	padded := make([]float32, roundUp(row, lanes))
	for p := range e.positions {
		keys, values := slices.Clone(padded), slices.Clone(padded)
		copy(keys, e.keys[p*row:(p+1)*row])
		copy(values, e.values[p*row:(p+1)*row])
		if p >= e.start+e.tokens {
			for i := range keys {
				keys[i], values[i] = float32(math.NaN()), float32(math.NaN())
			}
		}
		c.Store(p, keys, values, s)
	}
	out := make([]float32, e.tokens*e.outStride)
	for head := range e.heads {
		at := head * e.width
		c.Attend(out[at:], e.outStride, e.queries[at:], e.qStride, head, e.start, e.tokens, s)
	}
	return out
}

// want is softmax(q·keys)·values by its definition, in float64.
func (e *attendExample) want(token, head int) []float64 {
	seen, row := e.start+token+1, e.heads*e.width
	q := e.queries[token*e.qStride+head*e.width:][:e.width]
	weights, total := make([]float64, seen), 0.0
	for p := range weights {
		score := 0.0
		for i, v := range q {
			score += float64(v) * float64(e.keys[p*row+head*e.width+i])
		}
		weights[p] = math.Exp(score)
		total += weights[p]
	}
	mixed := make([]float64, e.width)
	for p, weight := range weights {
		for i := range mixed {
			mixed[i] += weight / total * float64(e.values[p*row+head*e.width+i])
		}
	}
	return mixed
}

// TestAttend compares attention with its definition in float64, for heads of any width and blocks of any length.
func TestAttend(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(19, 20))
		for range 60 {
			e := newAttendExample(random)
			out := e.attend()
			for token := range e.tokens {
				for head := range e.heads {
					got := out[token*e.outStride+head*e.width:][:e.width]
					for i, want := range e.want(token, head) {
						if !(math.Abs(float64(got[i])-want) < 1e-5) { // also not where it is a NaN
							t.Fatalf("%v: token %d, head %d, element %d is %v, want %v", e, token, head, i, got[i], want)
						}
					}
				}
			}
		}
	})
}

// TestAttendEqualsScalar compares the bits, which no tier may change.
func TestAttendEqualsScalar(t *testing.T) {
	eachFastTier(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(21, 22))
		for range 60 {
			e := newAttendExample(random)
			got := e.attend()
			restore := mustUse("scalar")
			want := e.attend()
			restore()
			if err := sameBits(got, want); err != nil {
				t.Fatalf("%v: %v", e, err)
			}
		}
	})
}
