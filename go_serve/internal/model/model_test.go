package model

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"minitron-chat/internal/bundle"
	"minitron-chat/internal/kernel"
)

// names are the bundles that testdata/make_vectors.py wrote with Hugging Face's models.
var names = []string{"llama", "llama-grouped", "llama-qknorm", "nanogpt", "nanogpt-bias"}

func load(t testing.TB, name string) (*Model, *bundle.Config) {
	t.Helper()
	b, err := bundle.Open(os.DirFS(filepath.Join("testdata", name)))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	m, err := Load(b)
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
				if math.Abs(float64(got[i]-want)) > 2e-4 {
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
		if st.Reused() != 44 {
			t.Errorf("%s: %d ids were reused, want 44", name, st.Reused())
		}
		if got := logits(t, st, ids); !slices.Equal(got, want) {
			t.Errorf("%s: the same list again differs", name)
		}
		other := append(slices.Clone(ids[:20]), someIDs(30, 100)...)
		logits(t, st, other)
		if got := logits(t, st, ids); !slices.Equal(got, want) || st.Reused() != 20 {
			t.Errorf("%s: after another list: equal %v, %d reused, want 20", name, slices.Equal(got, want), st.Reused())
		}
		if got := logits(t, st, ids[:7]); !slices.Equal(got, logits(t, m.NewState(pool), ids[:7])) {
			t.Errorf("%s: a prefix of the cached list differs", name)
		}
		if got := logits(t, st, ids); !slices.Equal(got, want) {
			t.Errorf("%s: after a shorter list differs", name)
		}
	}
}

// wide makes a random model large enough that its matrices are split over threads.
func wide(arch string) *Model {
	shape := bundle.Shape{Arch: arch, Layers: 2, Heads: 4, KVHeads: 4, Dim: 256, FFDim: 640, VocabSize: 500, Context: 64,
		RopeTheta: 10000, NormEps: 1e-5}
	values := make(map[string][]float32)
	state := uint32(7)
	for _, t := range bundle.Table(shape) {
		x := make([]float32, t.Elements())
		for i := range x {
			state = state*1664525 + 1013904223
			x[i] = float32(int32(state)) / (1 << 33)
		}
		values[t.Name] = x
	}
	m, l := &Model{shape: shape}, loader{values: values}
	if arch == "nanogpt" {
		l.nanogpt(m)
	} else {
		l.llama(m)
	}
	return m
}

func TestThreadsChangeNothing(t *testing.T) {
	for _, arch := range []string{"llama", "nanogpt"} {
		m := wide(arch)
		ids := someIDs(40, 500)
		want := logits(t, m.NewState(kernel.NewPool(1)), ids)
		for threads := 2; threads <= 5; threads++ {
			st := m.NewState(kernel.NewPool(threads))
			if got := logits(t, st, ids); !slices.Equal(got, want) {
				t.Errorf("%s: %d threads differ from one", arch, threads)
			}
			if got := logits(t, st, append(slices.Clone(ids), 3)); slices.Equal(got, want) {
				t.Errorf("%s: another id made no difference", arch)
			}
		}
	}
}

// TestNoAllocations writes token after token: nothing may be allocated.
func TestNoAllocations(t *testing.T) {
	for _, threads := range []int{1, 2} {
		for _, arch := range []string{"llama", "nanogpt"} {
			st := wide(arch).NewState(kernel.NewPool(threads))
			ids := append(make([]int, 0, 64), someIDs(5, 500)...)
			logits(t, st, ids)
			allocations := testing.AllocsPerRun(40, func() {
				ids = append(ids, 9)
				if _, err := st.Logits(context.Background(), ids); err != nil {
					t.Fatal(err)
				}
			})
			if allocations != 0 {
				t.Errorf("%s, %d threads: %v allocations per token", arch, threads, allocations)
			}
		}
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

// TestOverflowIsAnError makes the activations overflow: an error, not silent nonsense.
func TestOverflowIsAnError(t *testing.T) {
	m := wide("llama")
	for i := range m.finalNorm.weight {
		m.finalNorm.weight[i] = 3e38
	}
	st := m.NewState(kernel.NewPool(1))
	if _, err := st.Logits(context.Background(), []int{1, 2}); err == nil || err.Error() != "the model's output is not finite" {
		t.Errorf("%v", err)
	}
}
