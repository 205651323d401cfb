package kernel

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
)

// values returns n random numbers around the scale.
func values(random *rand.Rand, n int, scale float64) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(random.NormFloat64() * scale)
	}
	return x
}

// randomMatrix packs random bits of a dtype: every stored value is possible but for scales, which are finite.
func randomMatrix(random *rand.Rand, dtype DType, rows, cols int, scale float64) *Matrix {
	m := &Matrix{Rows: rows, Cols: cols, DType: dtype}
	m.Data = make([]byte, m.panels()*m.panelBytes())
	for i := range m.Data {
		m.Data[i] = byte(1 + random.IntN(255)) // in q8 a 0 would be -128, which is never stored
	}
	if dtype == F16 {
		for i := 0; i < len(m.Data); i += 2 {
			binary.LittleEndian.PutUint16(m.Data[i:], FloatToHalf(float32(random.NormFloat64()*scale)))
		}
		return m
	}
	size := map[DType]int{Q8: q8GroupBytes, Q4: q4GroupBytes}[dtype]
	for at := 0; at < len(m.Data); at += size {
		for r := range lanes {
			binary.LittleEndian.PutUint16(m.Data[at+2*r:], FloatToHalf(float32(random.NormFloat64()*scale)))
		}
	}
	return m
}

// mustUse chooses a tier; the function that it returns goes back to the one before.
func mustUse(name string) func() {
	before := active
	if err := Use(name); err != nil {
		panic(fmt.Sprint(err))
	}
	return func() { active = before }
}

// eachTier runs a test for every tier of this processor.
func eachTier(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			defer mustUse(name)()
			test(t)
		})
	}
}

// product computes m·x for tokens rows of x with the tier in use.
func product(m *Matrix, x []float32, tokens int) []float32 {
	in := NewInput(m.DType, (tokens+Block-1)/Block*Block, m.Cols)
	stride := Padded(m.Cols)
	rows := make([]float32, (tokens+Block-1)/Block*Block*stride)
	for t := range tokens {
		copy(rows[t*stride:], x[t*m.Cols:(t+1)*m.Cols])
	}
	in.Reset(rows, stride, tokens, m.Cols)
	for t := range tokens {
		in.Prepare(t)
	}
	l := Linear{*m}
	out := make([]float32, (tokens+Block-1)/Block*Block*l.Width())
	var job MatMul
	pool := NewPool(1)
	defer pool.Close()
	job.Run(pool, l, in, out)
	var result []float32
	for t := range tokens {
		result = append(result, out[t*l.Width():t*l.Width()+m.Rows]...)
	}
	return result
}

// sameBits compares bit by bit; any NaN equals any other.
func sameBits(a, b []float32) error {
	if len(a) != len(b) {
		return fmt.Errorf("%d values, want %d", len(a), len(b))
	}
	for i := range a {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) && !(a[i] != a[i] && b[i] != b[i]) {
			return fmt.Errorf("value %d is %v (%08x), want %v (%08x)", i, a[i], math.Float32bits(a[i]), b[i], math.Float32bits(b[i]))
		}
	}
	return nil
}

// TestProductsEqualScalar compares every tier with the scalar one over random shapes and scales: bit by bit for q8 and q4,
// and within the rounding of a fused sum for f16.
func TestProductsEqualScalar(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(1, 2))
		for n := range 300 {
			dtype := []DType{F16, Q8, Q4}[n%3]
			rows, cols, tokens := 1+random.IntN(200), 1+random.IntN(300), 1+random.IntN(30)
			weightScale, scale := math.Pow(10, -4+4*random.Float64()), math.Pow(10, -40+70*random.Float64())
			if dtype == F16 {
				scale = math.Pow(10, -20+40*random.Float64())
			}
			m := randomMatrix(random, dtype, rows, cols, weightScale)
			x := values(random, tokens*cols, scale)
			if random.IntN(2) == 0 {
				clear(x[:min(len(x), 40)]) // a group of zeros
			}
			got := product(m, x, tokens)
			restore := mustUse("scalar")
			want := product(m, x, tokens)
			restore()
			what := fmt.Sprintf("%s %d×%d, %d tokens, scale %g", dtype, rows, cols, tokens, scale)
			if dtype != F16 {
				if err := sameBits(got, want); err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				continue
			}
			for i := range want {
				bound := 2e-6 * float64(cols) * weightScale * scale
				if math.Abs(float64(got[i]-want[i])) > bound {
					t.Fatalf("%s: value %d is %v, want %v", what, i, got[i], want[i])
				}
			}
		}
	})
}

// TestProductsOneByOne reads tokens together and one by one: the same bits, within every tier.
func TestProductsOneByOne(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(3, 4))
		for n := range 60 {
			m := randomMatrix(random, []DType{F16, Q8, Q4}[n%3], 1+random.IntN(150), 1+random.IntN(200), 0.1)
			tokens := 2 + random.IntN(30)
			x := values(random, tokens*m.Cols, 1)
			together := product(m, x, tokens)
			for k := range tokens {
				alone := product(m, x[k*m.Cols:(k+1)*m.Cols], 1)
				if err := sameBits(together[k*m.Rows:(k+1)*m.Rows], alone); err != nil {
					t.Fatalf("%s %d×%d, token %d of %d: %v", m.DType, m.Rows, m.Cols, k, tokens, err)
				}
			}
		}
	})
}

// TestProductsAreProducts compares with plain sums in float64 over what Row returns.
func TestProductsAreProducts(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(5, 6))
		for n := range 60 {
			m := randomMatrix(random, []DType{F16, Q8, Q4}[n%3], 1+random.IntN(150), 1+random.IntN(200), 0.1)
			x := values(random, m.Cols, 1)
			got := product(m, x, 1)
			row := make([]float32, m.Cols)
			for r := range m.Rows {
				m.Row(row, r)
				var want, size float64
				for c, w := range row {
					want += float64(w) * float64(x[c])
					size += math.Abs(float64(w)) * 3
				}
				tolerance := size * 1e-6
				if m.DType != F16 {
					tolerance = size / 254 // activations are rounded to 1/127 of the largest of their group
				}
				if math.Abs(float64(got[r])-want) > tolerance {
					t.Fatalf("%s %d×%d: row %d is %v, want %v", m.DType, m.Rows, m.Cols, r, got[r], want)
				}
			}
		}
	})
}

// TestVectorsEqualScalar compares all that is done element by element with the scalar tier, bit by bit.
func TestVectorsEqualScalar(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(7, 8))
		for n := range 400 {
			scale := math.Pow(10, -42+80*random.Float64())
			if n%2 == 0 {
				scale = math.Pow(10, -2+4*random.Float64())
			}
			x, y := values(random, 32*(1+random.IntN(8)), scale), values(random, 256, scale)
			for _, f := range []struct {
				name string
				run  func(tier *tier, x []float32) []byte
			}{
				{"softmax", func(tier *tier, x []float32) []byte {
					for i := range n % 20 { // what attention does not see
						x[len(x)-1-i] = float32(math.Inf(-1))
					}
					tier.softmax(x)
					return nil
				}},
				{"swiglu", func(tier *tier, x []float32) []byte { tier.swiglu(x, y[:len(x)]); return nil }},
				{"gelu", func(tier *tier, x []float32) []byte { tier.gelu(x); return nil }},
				{"quantize", func(tier *tier, x []float32) []byte {
					dst := make([]byte, len(x)/groupSize*groupBytesX)
					tier.quantize(dst, x)
					return dst
				}},
				{"halves", func(tier *tier, x []float32) []byte {
					dst := make([]byte, 2*len(x))
					tier.halves(dst, x)
					return dst
				}},
			} {
				got, want := slices.Clone(x), slices.Clone(x)
				gotBytes, wantBytes := f.run(active, got), f.run(&scalar, want)
				if err := sameBits(got, want); err != nil {
					t.Fatalf("%s of %d values, scale %g: %v", f.name, len(x), scale, err)
				}
				if !slices.Equal(gotBytes, wantBytes) {
					t.Fatalf("%s of %d values, scale %g: other bytes\n%v\n%v", f.name, len(x), scale, gotBytes, wantBytes)
				}
			}
		}
	})
}

// TestExp compares Exp with math.Exp.
func TestExp(t *testing.T) {
	for x := -86.9; x < 88; x += 0.0137 {
		want := math.Exp(float64(float32(x)))
		if got := float64(Exp(float32(x))); math.Abs(got-want) > 3e-7*want {
			t.Fatalf("Exp(%v) = %v, want %v", float32(x), got, want)
		}
	}
	for _, test := range []struct{ x, want float32 }{{0, 1}, {float32(math.Inf(-1)), 0}, {-100, 0}, {1, math.E}} {
		if got := Exp(test.x); got != test.want {
			t.Errorf("Exp(%v) = %v, want %v", test.x, got, test.want)
		}
	}
	if got := Exp(1000); got != Exp(88) {
		t.Errorf("Exp(1000) = %v", got)
	}
}

// TestCap compares Cap with NumPy's float32(c) * float32(tanh(float64(float32(x) / float32(c)))), bit by bit.
func TestCap(t *testing.T) {
	x := []float32{0, float32(math.Copysign(0, -1)), 1e-30, 1e-6, -0.01, 0.3, -1, 7.25, -29.5, 30, 64, -1000, 3e38, -3e38}
	for _, test := range []struct {
		bound float32
		want  []uint32
	}{
		{30, []uint32{0, 0x80000000, 0x0da24260, 0x358637bd, 0xbc23d70a, 0x3e99984b, 0xbf7fe7bd, 0x40e3962a, 0xc1b514ce, 0x41b6c859, 0x41e95c08, 0xc1f00000, 0x41f00000, 0xc1f00000}},
		{15, []uint32{0, 0x80000000, 0x0da24260, 0x358637bd, 0xbc23d708, 0x3e99945d, 0xbf7f9f15, 0x40d779f6, 0xc166c86a, 0x41675ddb, 0x416fe7d3, 0xc1700000, 0x41700000, 0xc1700000}},
		{2.5, []uint32{0, 0x80000000, 0x0da24260, 0x358637bd, 0xbc23d6d0, 0x3e98ddf0, 0xbf732ad7, 0x401f08bb, 0xc0200000, 0x40200000, 0x40200000, 0xc0200000, 0x40200000, 0xc0200000}},
		{1 << 20, []uint32{0, 0x80000000, 0x0da24260, 0x358637bd, 0xbc23d70a, 0x3e99999a, 0xbf800000, 0x40e80000, 0xc1ec0000, 0x41f00000, 0x42800000, 0xc479fffb, 0x49800000, 0xc9800000}},
	} {
		got := slices.Clone(x)
		Cap(got, test.bound)
		for i, v := range got {
			if math.Float32bits(v) != test.want[i] {
				t.Errorf("%v within %v: %v, want %v", x[i], test.bound, v, math.Float32frombits(test.want[i]))
			}
		}
	}
	for x := 1e-9; x < 12; x *= 1.001 {
		if got, want := tanh(-x), math.Tanh(-x); math.Abs(got/want-1) > 1e-13 && x < 10 || float32(got) != float32(want) && x >= 10 {
			t.Fatalf("tanh(%v) = %v, want %v", -x, got, want)
		}
	}
}

// TestFunctions compares with the definitions in float64.
func TestFunctions(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(11, 12))
		x, up := values(random, 512, 4), values(random, 512, 4)
		gelu, silu, soft := slices.Clone(x), slices.Clone(x), slices.Clone(x)
		GELU(gelu)
		SwiGLU(silu, up)
		active.softmax(soft)
		sum := 0.0
		for _, v := range x {
			sum += math.Exp(float64(v))
		}
		for i, v := range x {
			v := float64(v)
			for _, f := range []struct {
				name      string
				got, want float64
			}{
				{"gelu", float64(gelu[i]), v / 2 * (1 + math.Erf(v/math.Sqrt2))},
				{"swiglu", float64(silu[i]), v / (1 + math.Exp(-v)) * float64(up[i])},
				{"softmax", float64(soft[i]), math.Exp(v) / sum},
			} {
				if math.Abs(f.got-f.want) > 1e-6*(math.Abs(f.want)+1) {
					t.Fatalf("%s of %v is %v, want %v", f.name, v, f.got, f.want)
				}
			}
		}
	})
}

// TestHalves goes through all 65,536 halves and through what lies between them.
func TestHalves(t *testing.T) {
	for bits := range 1 << 16 {
		v := HalfToFloat(uint16(bits))
		if back := FloatToHalf(v); back != uint16(bits) && v == v {
			t.Fatalf("half %04x is %v, which becomes %04x", bits, v, back)
		}
		want := math.Ldexp(float64(bits&1023), -24)
		if e := bits >> 10 & 31; e == 31 {
			continue
		} else if e > 0 {
			want = math.Ldexp(float64(bits&1023|1024), e-25)
		}
		if bits >= 1<<15 {
			want = -want
		}
		if float64(v) != want {
			t.Fatalf("half %04x is %v, want %v", bits, v, want)
		}
	}
	for bits := range 0x7bff { // between two halves: the nearer; in the middle: the even one
		lo, hi := HalfToFloat(uint16(bits)), HalfToFloat(uint16(bits+1))
		middle := (lo + hi) / 2
		even := uint16(bits + bits&1)
		if got := FloatToHalf(middle); got != even {
			t.Fatalf("%v becomes %04x, want %04x", middle, got, even)
		}
		if got := FloatToHalf(math.Nextafter32(middle, 0)); got != uint16(bits) {
			t.Fatalf("just below %v becomes %04x, want %04x", middle, got, bits)
		}
		if got := FloatToHalf(math.Nextafter32(middle, hi)); got != uint16(bits+1) {
			t.Fatalf("just above %v becomes %04x, want %04x", middle, got, bits+1)
		}
	}
	if FloatToHalf(65519) != 0x7bff || FloatToHalf(65520) != 0x7c00 || FloatToHalf(float32(math.Inf(-1))) != 0xfc00 {
		t.Error("the largest halves")
	}
}

// TestRopeTable compares with math's functions.
func TestRopeTable(t *testing.T) {
	for _, theta := range []float64{10000, 500000, 3} {
		for _, h := range []int{2, 24, 64, 128} {
			cos, sin := RopeTable(0, 2000, h, theta)
			for i := range cos {
				position, pair := i/(h/2), i%(h/2)
				s, c := math.Sincos(float64(position) * math.Pow(theta, -2*float64(pair)/float64(h)))
				if math.Abs(float64(cos[i])-c) > 6.1e-8 || math.Abs(float64(sin[i])-s) > 6.1e-8 {
					t.Fatalf("theta %v, h %d, position %d, pair %d: %v %v, want %v %v", theta, h, position, pair, cos[i], sin[i], c, s)
				}
			}
		}
	}
}

func TestUse(t *testing.T) {
	if err := Use("abacus"); err == nil || err.Error() != `there is no kernel "abacus" here` {
		t.Errorf("%v", err)
	}
	if names := Names(); names[len(names)-1] != "scalar" {
		t.Errorf("%v", names)
	}
}

// TestVectors compares with what NumPy computes from the same bytes by docs/formats.md (testdata/make_vectors.py).
func TestVectors(t *testing.T) {
	data, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Codebook []int `json:"q4_codebook"`
		Cases    []struct {
			Note       string
			DType      DType
			Rows, Cols int
			Packed     []byte
			X          []float32
			Y          []uint32  // bits
			YExact     []float64 `json:"y_exact"` // f16
		}
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	for i, value := range file.Codebook {
		if value != int(codebook[i])-128 {
			t.Errorf("the codebook has %d at %d, want %d", int(codebook[i])-128, i, value)
		}
	}
	eachTier(t, func(t *testing.T) {
		for _, c := range file.Cases {
			m := &Matrix{Rows: c.Rows, Cols: c.Cols, DType: c.DType, Data: c.Packed}
			for r, got := range product(m, c.X, 1) {
				if c.DType == F16 {
					if want := c.YExact[r]; math.Abs(float64(got)-want) > 1e-5*(math.Abs(want)+1) {
						t.Fatalf("%s, f16: row %d is %v, want %v", c.Note, r, got, want)
					}
				} else if want := math.Float32frombits(c.Y[r]); got != want {
					t.Fatalf("%s, %s: row %d is %v, want %v", c.Note, c.DType, r, got, want)
				}
			}
		}
	})
}
