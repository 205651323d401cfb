package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestSoftplus(t *testing.T) {
	for _, x := range []float32{-100, -80, -20, -3, -1, -0.1, 0, 0.1, 1, 3, 20, 80, 1000} {
		want := math.Max(float64(x), 0) + math.Log1p(math.Exp(-math.Abs(float64(x))))
		if got := float64(Softplus(x)); math.Abs(got-want) > 3e-7*want+1e-37 {
			t.Errorf("softplus(%v) is %v, want %v", x, got, want)
		}
	}
}

// TestSiLU compares all tiers with the scalar formula, for every length.
func TestSiLU(t *testing.T) {
	defer Use(Name())
	random := rand.New(rand.NewPCG(1, 1))
	for n := range 600 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(random.NormFloat64() * 10)
		}
		for _, name := range Names() {
			Use(name)
			got := slices.Clone(x)
			SiLU(got)
			for i, v := range x {
				if want := v / (1 + Exp(-v)); got[i] != want {
					t.Fatalf("%s: silu(%v) is %v, want %v", name, v, got[i], want)
				}
			}
		}
	}
}

func TestUnit(t *testing.T) {
	x := []float32{3, -4, 0}
	Unit(x)
	if math.Abs(float64(x[0])-0.6) > 1e-6 || math.Abs(float64(x[1])+0.8) > 1e-6 || x[2] != 0 {
		t.Errorf("%v", x)
	}
	zero := []float32{0, 0}
	if Unit(zero); zero[0] != 0 {
		t.Errorf("%v", zero)
	}
}

// TestDeltaStep compares with equation 10 of arXiv 2412.06464 as it stands, in float64: S = a·S·(I - b·k·kᵀ) + b·v·kᵀ.
func TestDeltaStep(t *testing.T) {
	const h = 6
	random := rand.New(rand.NewPCG(2, 2))
	draw := func() []float32 {
		x := make([]float32, h)
		for i := range x {
			x[i] = float32(random.NormFloat64())
		}
		return x
	}
	state, next := make([]float32, h*h), make([]float32, h*h)
	var want [h][h]float64 // [value][key]
	change, out := make([]float32, h), make([]float32, h)
	for step := range 20 {
		query, key, value := draw(), draw(), draw()
		Unit(key)
		decay, write := random.Float32(), random.Float32()
		var after [h][h]float64
		for v := range h {
			for k := range h {
				sum := 0.0
				for j := range h {
					identity := 0.0
					if j == k {
						identity = 1
					}
					sum += want[v][j] * (identity - float64(write)*float64(key[j])*float64(key[k]))
				}
				after[v][k] = float64(decay)*sum + float64(write)*float64(value[v])*float64(key[k])
			}
		}
		want = after
		if step%2 == 0 { // into another, and in place
			DeltaStep(next, state, query, key, value, decay, write, change, out)
			state, next = next, state
		} else {
			DeltaStep(state, state, query, key, value, decay, write, change, out)
		}
		for v := range h {
			read := 0.0
			for k := range h {
				if math.Abs(float64(state[k*h+v])-want[v][k]) > 1e-5 {
					t.Fatalf("step %d: S[%d][%d] is %v, want %v", step, v, k, state[k*h+v], want[v][k])
				}
				read += want[v][k] * float64(query[k])
			}
			if math.Abs(float64(out[v])-read) > 1e-5 {
				t.Fatalf("step %d: %v is read, want %v", step, out[v], read)
			}
		}
	}
}

// TestWindow attends token after token and in blocks, past several rounds of the places: what a cache of all positions gives
// where the others are hidden by hand.
func TestWindow(t *testing.T) {
	const heads, width, window, total = 2, 8, 21, 300
	random := rand.New(rand.NewPCG(3, 3))
	draw := func() []float32 {
		x := make([]float32, 2*groupSize)
		for i := range heads * width {
			x[i] = float32(random.NormFloat64())
		}
		return x
	}
	var keys, values, queries [][]float32
	for range total {
		keys, values, queries = append(keys, draw()), append(values, draw()), append(queries, draw())
	}
	half := func(x float32) float64 { return float64(HalfToFloat(FloatToHalf(x))) }
	plain := func(head, t int) (out [width]float64) {
		sum := 0.0
		for s := max(0, t-window+1); s <= t; s++ {
			score := 0.0
			for i := range width {
				score += float64(queries[t][head*width+i]) * half(keys[s][head*width+i])
			}
			e := math.Exp(score)
			sum += e
			for i := range width {
				out[i] += e * half(values[s][head*width+i])
			}
		}
		for i := range out {
			out[i] /= sum
		}
		return out
	}
	alone, blocks := NewWindow(heads, width, window, 2*Block), NewWindow(heads, width, window, 2*Block)
	scratch := alone.NewScratch()
	for start := 0; start < total; start += 2 * Block {
		tokens := min(2*Block, total-start)
		for n := range tokens {
			blocks.Store(start+n, keys[start+n], values[start+n], scratch)
		}
		for part := 0; part < tokens; part += Block {
			count := min(Block, tokens-part)
			q := make([]float32, Block*len(queries[0]))
			for n := range count {
				copy(q[n*len(queries[0]):], queries[start+part+n])
			}
			for head := range heads {
				out := make([]float32, Block*width)
				blocks.Attend(out, width, q[head*width:], len(queries[0]), head, start+part, count, scratch)
				for n := range count {
					at := start + part + n
					if head == 0 {
						alone.Store(at, keys[at], values[at], scratch)
					}
					want := plain(head, at)
					for i := range width {
						if math.Abs(float64(out[n*width+i])-want[i]) > 1e-4 {
							t.Fatalf("position %d: %v, want %v", at, out[n*width:][:width], want)
						}
					}
					if head == 0 {
						one := make([]float32, width)
						alone.Attend(one, width, queries[at], len(queries[0]), head, at, 1, scratch)
						if !slices.Equal(one, out[n*width:][:width]) {
							t.Fatalf("position %d: alone %v, in a block %v", at, one, out[n*width:][:width])
						}
					}
				}
			}
		}
	}
}

// TestRopeFarOut compares the angles of positions that only a sequence without an end has with math's.
func TestRopeFarOut(t *testing.T) {
	frequencies := RopeFrequencies(16, 10000)
	cos, sin := make([]float32, 2*8), make([]float32, 2*8)
	for _, position := range []int{0, 1 << 16, 1<<20 + 3, 123_456_789, 1<<28 - 2} {
		RopeRows(cos, sin, position, frequencies)
		for i := range cos {
			s, c := math.Sincos(float64(position+i/8) * frequencies[i%8])
			if math.Abs(float64(cos[i])-c) > 1e-6 || math.Abs(float64(sin[i])-s) > 1e-6 {
				t.Errorf("position %d, frequency %d: %v and %v, want %v and %v", position+i/8, i%8, cos[i], sin[i], c, s)
			}
		}
	}
}
