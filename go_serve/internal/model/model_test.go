package model

import (
	"context"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"minitron/internal/bundle"
	"minitron/internal/kernel"
	"minitron/internal/weights"
)

// names are the bundles that testdata/make_vectors.py wrote with Hugging Face's models.
var names = []string{"llama", "llama-grouped", "llama-qknorm", "nanogpt", "nanogpt-bias", "llama-imported", "stream"}

func load(t testing.TB, name string) (*Model, *bundle.Config) {
	t.Helper()
	b, err := bundle.Open(os.DirFS(filepath.Join("testdata", name)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	m, err := Load(b.Weights)
	if err != nil {
		t.Fatal(err)
	}
	return m, b.Config
}

func logits(t testing.TB, st *State, ids []int) []float32 {
	t.Helper()
	values, err := st.Logits(context.Background(), ids)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(values)
}

func argmax(x []float32) int {
	best := 0
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return best
}

// TestReference compares logits and greedy ids with Hugging Face's models.
func TestReference(t *testing.T) {
	for _, name := range names {
		m, config := load(t, name)
		if len(config.Selftest) != 4 {
			t.Fatalf("%s: %d recorded prompts, want 4", name, len(config.Selftest))
		}
		greedy := 0
		for n, test := range config.Selftest {
			st := m.NewState(kernel.NewPool(1))
			got := logits(t, st, test.IDs)
			for i, want := range test.Logits {
				if math.Abs(float64(got[i]-want)) > 1e-2 { // keys and values are cached in fp16
					t.Errorf("%s prompt %d: logit %d is %v, want %v", name, n, i, got[i], want)
					break
				}
			}
			ids := slices.Clone(test.IDs)
			for step, want := range test.Greedy {
				if id := 4 + argmax(got[4:]); id != want { // 0 to 3 are never sampled
					t.Errorf("%s prompt %d: greedy id %d is %d, want %d", name, n, step, id, want)
				}
				ids = append(ids, want)
				got = logits(t, st, ids)
				greedy++
			}
		}
		if greedy < 10 {
			t.Errorf("%s: only %d greedy ids were compared", name, greedy)
		}
	}
}

// someIDs is a fixed sequence of n ids.
func someIDs(n, vocab int) []int {
	ids := make([]int, n)
	for i := range ids {
		ids[i] = (i*i*7 + 3*i + 5) % vocab
	}
	return ids
}

// TestCacheChangesNothing reads the same ids at once, one by one, in two parts, and after other ids with a common
// prefix: the logits must be the same bits.
func TestCacheChangesNothing(t *testing.T) {
	for _, name := range names {
		m, config := load(t, name)
		pool := kernel.NewPool(1)
		ids := someIDs(45, config.Model.VocabSize)
		want := logits(t, m.NewState(pool), ids)

		st := m.NewState(pool)
		for n := 1; n < len(ids); n++ {
			logits(t, st, ids[:n])
		}
		if got := logits(t, st, ids); !slices.Equal(got, want) {
			t.Errorf("%s: one by one differs", name)
		}
		if st.Len() != 45 || st.Shared(append(ids[:44:44], 1)) != 44 {
			t.Errorf("%s: %d ids are kept, %d shared", name, st.Len(), st.Shared(append(ids[:44:44], 1)))
		}
		if got := logits(t, st, ids); !slices.Equal(got, want) {
			t.Errorf("%s: the same list again differs", name)
		}
		other := append(slices.Clone(ids[:20]), someIDs(30, 100)...)
		logits(t, st, other)
		if kept := st.Truncate(st.Shared(ids)); kept != 20 {
			t.Errorf("%s: %d ids are left of another list, want 20", name, kept)
		}
		if got := logits(t, st, ids); !slices.Equal(got, want) {
			t.Errorf("%s: after another list differs", name)
		}
		if got := logits(t, st, ids[:7]); !slices.Equal(got, logits(t, m.NewState(pool), ids[:7])) {
			t.Errorf("%s: a prefix of the cached list differs", name)
		}
		if got := logits(t, st, ids); !slices.Equal(got, want) {
			t.Errorf("%s: after a shorter list differs", name)
		}
	}
}

// normal returns a number of about the normal distribution, the same bits on every processor, which NormFloat64 does not
// promise: the sum of twelve uniform ones.
func normal(random *rand.Rand) float64 {
	sum := -6.0
	for range 12 {
		sum += random.Float64()
	}
	return sum
}

// wide makes a random model large enough that its matrices are split over threads.
func wide(arch string, dtype kernel.DType) *Model {
	shape := weights.Shape{Arch: arch, Layers: 2, Heads: 4, KVHeads: 4, Dim: 256, FFDim: 640, VocabSize: 500, Context: 256,
		RopeTheta: 10000, NormEps: 1e-5}
	if arch == "stream" {
		shape.Kinds, shape.Window, shape.ConvWidth = []string{weights.Conv, weights.Window, weights.Delta}, 40, 3
		shape.Layers, shape.KVHeads = 3, 2
	}
	return random(shape, dtype)
}

// random makes a model of a shape with random weights.
func random(shape weights.Shape, dtype kernel.DType) *Model {
	random := rand.New(rand.NewPCG(7, 7))
	tensors, all := weights.Table(shape, string(dtype)), []byte(nil)
	for i := range tensors {
		t := &tensors[i]
		data := make([]byte, t.Bytes)
		half := func(at int) {
			binary.LittleEndian.PutUint16(data[at:], kernel.FloatToHalf(float32(normal(random)/8)))
		}
		switch t.DType {
		case "f16":
			for at := 0; at < len(data); at += 2 {
				half(at)
			}
		case "f32":
			for at := 0; at < len(data); at += 4 {
				binary.LittleEndian.PutUint32(data[at:], math.Float32bits(float32(normal(random))))
			}
		default:
			for at := range data {
				data[at] = byte(1 + random.IntN(255))
			}
			size := map[string]int{"q8": 544, "q4": 288}[t.DType] // of a group: 16 scales, then values
			for at := range data {
				if at%size < 32 && at%2 == 0 {
					half(at)
					data[at+1] &= 0xa3 // 1/64 of it
				}
			}
		}
		t.Offset = int64(len(all)+63) / 64 * 64
		all = append(append(all, make([]byte, t.Offset-int64(len(all)))...), data...)
	}
	m, err := Load(weights.NewSet(shape, string(dtype), tensors, &weights.File{Name: "weights.bin", Data: all}))
	if err != nil {
		panic(err)
	}
	return m
}

// eachTier runs a test for every kernel tier of this processor.
func eachTier(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	before := kernel.Name()
	defer kernel.Use(before)
	for _, name := range kernel.Names() {
		if err := kernel.Use(name); err != nil {
			t.Fatal(err)
		}
		t.Run(name, test)
	}
}

// eachModel runs a test for all shapes in all dtypes.
func eachModel(t *testing.T, test func(t *testing.T, m *Model)) {
	t.Helper()
	for _, arch := range []string{"llama", "nanogpt", "stream"} {
		for _, dtype := range []kernel.DType{kernel.F16, kernel.Q8, kernel.Q4} {
			t.Run(arch+"/"+string(dtype), func(t *testing.T) { test(t, wide(arch, dtype)) })
		}
	}
}

// skipUnderRace is for tests of arithmetic, which take minutes under the race detector; it runs with -short.
func skipUnderRace(t *testing.T) {
	if testing.Short() {
		t.Skip("arithmetic, and no goroutines of its own")
	}
}

// TestBlocksChangeNothing reads prompts of many lengths at once and one by one: the same bits, within every tier.
func TestBlocksChangeNothing(t *testing.T) {
	skipUnderRace(t)
	eachTier(t, func(t *testing.T) {
		eachModel(t, func(t *testing.T, m *Model) {
			pool := kernel.NewPool(1)
			ids := someIDs(110, 500)
			alone := m.NewState(pool)
			for n := 1; n <= len(ids); n++ {
				want := logits(t, alone, ids[:n])
				if n < 30 || n%37 == 0 || n == len(ids) {
					if got := logits(t, m.NewState(pool), ids[:n]); !slices.Equal(got, want) {
						t.Fatalf("%d ids at once differ from one by one", n)
					}
				}
			}
		})
	})
}

// TestTiersChangeNothing compares the logits of all tiers, bit by bit: with q8 and q4 the processor does not matter.
func TestTiersChangeNothing(t *testing.T) {
	skipUnderRace(t)
	eachModel(t, func(t *testing.T, m *Model) {
		ids := someIDs(140, 500)
		var want []float32
		eachTier(t, func(t *testing.T) {
			got := logits(t, m.NewState(kernel.NewPool(1)), ids)
			if want == nil {
				want = got
			}
			for i := range want {
				if tolerance := 5e-3; got[i] != want[i] && (m.dtype != kernel.F16 || math.Abs(float64(got[i]-want[i])) > tolerance) {
					t.Fatalf("logit %d is %v, want %v", i, got[i], want[i])
				}
			}
		})
	})
}

func TestThreadsChangeNothing(t *testing.T) {
	eachModel(t, func(t *testing.T, m *Model) {
		ids := someIDs(140, 500)
		want := logits(t, m.NewState(kernel.NewPool(1)), ids)
		for threads := 2; threads <= 5; threads++ {
			pool := kernel.NewPool(threads)
			defer pool.Close()
			st := m.NewState(pool)
			if got := logits(t, st, ids); !slices.Equal(got, want) {
				t.Errorf("%d threads differ from one", threads)
			}
			if got := logits(t, st, append(slices.Clone(ids), 3)); slices.Equal(got, want) {
				t.Errorf("another id made no difference")
			}
		}
	})
}

// TestNoAllocations writes token after token: nothing may be allocated.
func TestNoAllocations(t *testing.T) {
	for _, threads := range []int{1, 2} {
		eachModel(t, func(t *testing.T, m *Model) {
			pool := kernel.NewPool(threads)
			defer pool.Close()
			st := m.NewState(pool)
			ids := append(make([]int, 0, 256), someIDs(5, 500)...)
			logits(t, st, ids)
			allocations := testing.AllocsPerRun(40, func() {
				ids = append(ids, 9)
				if _, err := st.Logits(context.Background(), ids); err != nil {
					t.Fatal(err)
				}
			})
			if allocations != 0 {
				t.Errorf("%d threads: %v allocations per token", threads, allocations)
			}
		})
	}
}

func TestLogitsRefuses(t *testing.T) {
	m, _ := load(t, "llama")
	st := m.NewState(kernel.NewPool(1))
	tests := []struct {
		ids  []int
		want string
	}{
		{nil, "the list of ids is empty"},
		{[]int{1, 272}, "the id 272 is outside the vocabulary (0 to 271)"},
		{[]int{-1}, "the id -1 is outside the vocabulary (0 to 271)"},
		{someIDs(65, 200), "there are 65 ids, the context of this model is 64 tokens"},
	}
	for _, test := range tests {
		if _, err := st.Logits(context.Background(), test.ids); err == nil || err.Error() != test.want {
			t.Errorf("%v, want %s", err, test.want)
		}
	}
	logits(t, st, someIDs(64, 200)) // the whole context fits
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := st.Logits(ctx, []int{1}); err != context.Canceled {
		t.Errorf("a cancelled context: %v", err)
	}
}

func weightOf(n norm) []float32 {
	if n, ok := n.(layerNorm); ok {
		return n.weight
	}
	return n.(rmsNorm).weight
}

// TestOverflowIsAnError makes activations overflow, at the end and on the way: an error, not silent nonsense.
func TestOverflowIsAnError(t *testing.T) {
	skipUnderRace(t)
	eachTier(t, func(t *testing.T) {
		eachModel(t, func(t *testing.T, m *Model) {
			for name, weight := range map[string][]float32{"last": weightOf(m.finalNorm), "first": weightOf(m.layers[0].mlpNorm)} {
				kept := slices.Clone(weight)
				for i := range weight {
					weight[i] = 3e38
				}
				st := m.NewState(kernel.NewPool(1))
				if _, err := st.Logits(context.Background(), []int{1, 2}); err == nil || err.Error() != "the model's output is not finite" {
					t.Errorf("%s norm: %v", name, err)
				}
				copy(weight, kept)
			}
		})
	})
}

// TestFewestFast pins which numbers of threads are tried, and what is taken, for given times of a token.
func TestFewestFast(t *testing.T) {
	tests := []struct {
		most  int
		times map[int]time.Duration
		tried []int
		want  int
	}{
		{1, map[int]time.Duration{1: 100}, []int{1}, 1},
		{2, map[int]time.Duration{1: 100, 2: 60}, []int{1, 2}, 2},
		{2, map[int]time.Duration{1: 100, 2: 90}, []int{1, 2}, 2},
		{8, map[int]time.Duration{1: 100, 2: 91}, []int{1, 2}, 1}, // a tenth, or it is not worth a core
		{8, map[int]time.Duration{1: 100, 2: 60, 4: 55, 8: 10}, []int{1, 2, 4}, 2},
		{8, map[int]time.Duration{1: 100, 2: 60, 4: 40, 8: 30}, []int{1, 2, 4, 8}, 8},
		{6, map[int]time.Duration{1: 100, 2: 60, 4: 40, 6: 30}, []int{1, 2, 4, 6}, 6},
		{3, map[int]time.Duration{1: 100, 2: 60, 3: 80}, []int{1, 2, 3}, 2},
		{8, map[int]time.Duration{1: 0, 2: 0}, []int{1, 2}, 1}, // by a clock that does not tell
	}
	for _, test := range tests {
		var tried []int
		got := fewestFast(test.most, func(threads int) time.Duration {
			tried = append(tried, threads)
			return test.times[threads]
		})
		if got != test.want || !slices.Equal(tried, test.tried) {
			t.Errorf("at most %d, times %v: %d after trying %v, want %d after %v", test.most, test.times, got, tried, test.want, test.tried)
		}
	}
}

// TestBestThreads measures: whatever comes out, it is a number of threads that there is.
func TestBestThreads(t *testing.T) {
	if got := wide("llama", kernel.Q8).BestThreads(); got < 1 || got > runtime.GOMAXPROCS(0) {
		t.Errorf("%d threads", got)
	}
}

// TestLogitCap bends the logits of a model, and only once where a sequence grows.
func TestLogitCap(t *testing.T) {
	m, _ := load(t, "llama")
	ids := someIDs(7, m.shape.VocabSize)
	plain := logits(t, m.NewState(kernel.NewPool(1)), ids)
	m.shape.LogitCap = 1
	st := m.NewState(kernel.NewPool(1))
	logits(t, st, ids[:4])
	largest := 0.0
	for i, got := range logits(t, st, ids) {
		if want := math.Tanh(float64(plain[i])); math.Abs(float64(got)-want) > 1e-6 {
			t.Fatalf("logit %d was %v and is %v, want %v", i, plain[i], got, want)
		}
		largest = max(largest, math.Abs(float64(plain[i])))
	}
	if largest < 2 {
		t.Errorf("the largest logit is %v: the test sees no bend", largest)
	}
}
