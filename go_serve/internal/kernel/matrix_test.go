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

// TestProductsEqualScalar compares every tier with the scalar one over random shapes and scales: bit by bit for q8 and q4,
// and within the rounding of a fused sum for f16.
func TestProductsEqualScalar(t *testing.T) {
	eachFastTier(t, func(t *testing.T) {
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
			A          []int     // activations as bytes
			S          []uint32  // their scales, bits
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
			if c.DType != F16 {
				checkQuantized(t, c.Note, c.X, c.A, c.S)
			}
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

// checkQuantized compares what the tier in use makes of x with whole numbers a and the bits of scales s, by groups of 32.
func checkQuantized(t *testing.T, note string, x []float32, a []int, s []uint32) {
	t.Helper()
	padded := append(slices.Clone(x), make([]float32, Padded(len(x))-len(x))...)
	dst := make([]byte, len(padded)/groupSize*groupBytesX)
	active.quantize(dst, padded)
	for g, scale := range s {
		group, sum := dst[g*groupBytesX:][:groupBytesX], 0
		for i, want := range a[groupSize*g:][:groupSize] {
			if got := int(int8(group[i])); got != want {
				t.Fatalf("%s: %v in group %d becomes %d, want %d", note, padded[groupSize*g+i], g, got, want)
			}
			sum += want
		}
		if got := binary.LittleEndian.Uint32(group[32:]); got != scale {
			t.Fatalf("%s: group %d has the scale %08x, want %08x", note, g, got, scale)
		}
		if got := int32(binary.LittleEndian.Uint32(group[36:])); got != int32(-128*sum) {
			t.Fatalf("%s: group %d has the sum %d, want %d", note, g, got, -128*sum)
		}
	}
}

// TestLinear applies matrices with and without biases to the same input, on several threads: the outputs of each begin at
// a multiple of 32, equal those of the matrix alone with its bias added, and nothing is written between.
func TestLinear(t *testing.T) {
	random := rand.New(rand.NewPCG(17, 18))
	pool := NewPool(3)
	defer pool.Close()
	for _, dtype := range []DType{F16, Q8, Q4} {
		const cols, tokens = 200, 5
		x := values(random, tokens*cols, 1)
		var l Linear
		var want [][]float32 // of each matrix
		for n, rows := range []int{100, 7, 64} {
			m := randomMatrix(random, dtype, rows, cols, 0.1)
			y := product(m, x, tokens)
			if n != 1 {
				m.Bias = values(random, rows, 1)
				for i := range y {
					y[i] += m.Bias[i%rows]
				}
			}
			l, want = append(l, *m), append(want, y)
		}
		if l.Width() != 128+32+64 {
			t.Fatalf("the width is %d", l.Width())
		}
		in := NewInput(dtype, Block, cols)
		rows := make([]float32, Block*Padded(cols))
		for i := range tokens {
			copy(rows[i*Padded(cols):], x[i*cols:(i+1)*cols])
		}
		in.Reset(rows, Padded(cols), tokens, cols)
		for i := range tokens {
			in.Prepare(i)
		}
		const untouched = -12345
		out := make([]float32, Block*l.Width())
		for i := range out {
			out[i] = untouched
		}
		new(MatMul).Run(pool, l, in, out)
		for i := range tokens {
			at := i * l.Width()
			for n, m := range l {
				if err := sameBits(out[at:at+m.Rows], want[n][i*m.Rows:(i+1)*m.Rows]); err != nil {
					t.Errorf("%s, token %d, matrix %d: %v", dtype, i, n, err)
				}
				for _, v := range out[at+(m.Rows+lanes-1)/lanes*lanes : at+Padded(m.Rows)] {
					if v != untouched {
						t.Errorf("%s, token %d: %v was written behind matrix %d", dtype, i, v, n)
					}
				}
				at += Padded(m.Rows)
			}
		}
	}
}
