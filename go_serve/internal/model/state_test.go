package model

import (
	"context"
	"math"
	"runtime"
	"slices"
	"testing"

	"minitron/internal/kernel"
	"minitron/internal/weights"
)

// TestStateBytes compares what a state is said to take with what making one allocates.
func TestStateBytes(t *testing.T) {
	eachModel(t, func(t *testing.T, m *Model) {
		pool := kernel.NewPool(1)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		st := m.NewState(pool)
		st.memories[0].(*attentionMemory).rope.grow(m.shape.Context)
		runtime.ReadMemStats(&after)
		took, said := int64(after.TotalAlloc-before.TotalAlloc), m.StateBytes()
		if said < took*85/100 || said > took*105/100 { // the input of a block and the scratch memory of one thread are left out
			t.Errorf("%d bytes were allocated, %d are said", took, said)
		}
	})
	// The cache of docs/performance.md's 50M model: two bytes of keys and of values, 10 layers, 8 heads of 64, 1024 tokens.
	if got := (&attention{kvHeads: 8, headDim: 64}).memoryBytes(1024) * 10; got != 2*2*10*8*64*1024 {
		t.Errorf("%d bytes of keys and values", got)
	}
}

// TestStateLimit loads a model whose context would take too much memory.
func TestStateLimit(t *testing.T) {
	shape := weights.Shape{Arch: "llama", Layers: 300, Heads: 1, KVHeads: 1, Dim: 32, FFDim: 32, VocabSize: 20, Context: 1 << 20, RopeTheta: 10000}
	var most int64
	tensors := weights.Table(shape, "q8")
	for i := range tensors {
		most = max(most, tensors[i].Bytes) // all lie at 0
	}
	_, err := Load(weights.NewSet(shape, "q8", tensors, &weights.File{Name: "weights.bin", Data: make([]byte, most)}))
	// 300 layers · 2^20 tokens · 128 bytes of keys and values are 38,400 MB
	want := "a context of 1048576 tokens would take 38536 MB of memory, more than the 4096 MB that this program uses"
	if err == nil || math.MaxInt > 1<<31 && err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// TestExtend reads a sequence in parts, goes back, and is refused: always as if it had been read at once.
func TestExtend(t *testing.T) {
	for _, name := range names {
		m, _ := load(t, name)
		pool := kernel.NewPool(1)
		ids := someIDs(50, m.shape.VocabSize)
		want := logits(t, m.NewState(pool), ids)
		st := m.NewState(pool)
		extend := func(ids []int) []float32 {
			got, err := st.Extend(context.Background(), ids)
			if err != nil {
				t.Fatal(err)
			}
			return slices.Clone(got)
		}
		extend(ids[:5])
		if err := st.Read(context.Background(), ids[5:13]); err != nil {
			t.Fatal(err)
		}
		extend([]int{1, 2, 3})
		if kept := st.Truncate(13); kept != 13 || st.Len() != 13 {
			t.Errorf("%s: %d ids are left, want 13", name, kept)
		}
		if kept := st.Truncate(20); kept != 13 {
			t.Errorf("%s: %d ids are left after keeping more than there are", name, kept)
		}
		if got := extend(ids[13:]); !slices.Equal(got, want) {
			t.Errorf("%s: in parts differs", name)
		}
		for _, bad := range [][]int{nil, {-1}, {m.shape.VocabSize}, someIDs(15, 200)} {
			if _, err := st.Extend(context.Background(), bad); err == nil || st.Len() != 50 {
				t.Errorf("%s: %v was read: %v, %d ids", name, bad, err, st.Len())
			}
			if err := st.Read(context.Background(), bad); err == nil || st.Len() != 50 {
				t.Errorf("%s: %v was read without logits: %v, %d ids", name, bad, err, st.Len())
			}
		}
	}
}

// countdown is a context that is cancelled once it was asked so many times.
type countdown struct {
	context.Context
	left *int
}

func (c countdown) Err() error {
	if *c.left--; *c.left < 0 {
		return context.Canceled
	}
	return nil
}

// leakySum is a mixer that keeps a sum in constant memory, and nothing to go back to: what a recurrent shape is to the rest of
// this package. Its rows are what o makes of queries in the attention that it stands in for.
type leakySum struct{ like *attention }

func (l leakySum) in() kernel.Linear     { return l.like.o }
func (l leakySum) out() kernel.Linear    { return l.like.o }
func (l leakySum) width() int            { return l.like.width() }
func (l leakySum) memoryBytes(int) int64 { return 8 * int64(l.width()) }
func (l leakySum) newMemory(int, *workspace) memory {
	return &leakyMemory{leakySum: l, now: make([]float32, l.width()), next: make([]float32, l.width())}
}

type leakyMemory struct {
	leakySum
	now, next []float32 // the sum up to the last commit, and with the block at hand
	length    int
}

// read replaces each row by the sum at that token: S = S/2 + x.
func (m *leakyMemory) read(rows []float32, _, tokens int) {
	copy(m.next, m.now)
	stride := m.in().Width()
	for t := range tokens {
		for i := range m.next {
			m.next[i] = m.next[i]/2 + rows[t*stride+i]
			rows[t*stride+i] = m.next[i]
		}
	}
}

func (m *leakyMemory) mix(out, rows []float32, _, tokens int) {
	for t := range tokens {
		copy(out[t*kernel.Padded(m.width()):][:m.width()], rows[t*m.in().Width():])
	}
}

func (m *leakyMemory) commit(n int) {
	m.now, m.next, m.length = m.next, m.now, n
}

func (m *leakyMemory) truncate(n int) int {
	if n >= m.length {
		return n
	}
	clear(m.now)
	m.length = 0
	return 0
}

// TestRecurrentMixer puts a mixer without a past into the first layer of two: the same calls, the same results, also after work
// that was broken off between two layers.
func TestRecurrentMixer(t *testing.T) {
	m := wide("llama", kernel.Q8)
	m.layers[0].mixer = leakySum{m.layers[0].mixer.(*attention)}
	pool := kernel.NewPool(1)
	ids := someIDs(230, 500)
	want := logits(t, m.NewState(pool), ids)

	st := m.NewState(pool)
	for n := 200; n < len(ids); n++ { // in blocks, then one by one: nothing is read twice
		logits(t, st, ids[:n])
	}
	if got := logits(t, st, ids); !slices.Equal(got, want) {
		t.Error("one by one differs")
	}
	if kept := st.Truncate(len(ids)); kept != len(ids) {
		t.Errorf("%d ids are left of all", kept)
	}
	if got := logits(t, st, ids); !slices.Equal(got, want) { // the last one is read again, and so all
		t.Error("the same list again differs")
	}
	if kept := st.Truncate(100); kept != 0 || st.Len() != 0 {
		t.Errorf("%d ids are left, %d held", kept, st.Len())
	}
	for asked := range 7 { // broken off before each layer of three blocks, or not at all
		st.Truncate(0)
		if _, err := st.Logits(countdown{context.Background(), &asked}, ids); (err == nil) != (asked >= 0) || err != nil && err != context.Canceled {
			t.Errorf("broken off: %v", err)
		}
		if st.Len() != len(ids) && st.Len()%blockTokens != 0 {
			t.Errorf("%d ids are held", st.Len())
		}
		held := st.Len()
		if got := logits(t, st, ids); !slices.Equal(got, want) {
			t.Errorf("after %d ids and a break: other logits", held)
		}
	}
}

// TestHeadOfItsOwn and widths of heads that are not d_model / n_heads, as imported models have: blocks, threads and tiers
// change nothing, and the head is not the embedding.
func TestHeadOfItsOwn(t *testing.T) {
	shape := wide("llama", kernel.Q8).shape
	shape.Heads, shape.KVHeads, shape.HeadWidth = 6, 2, 48 // 288 beside 256
	tied := random(shape, kernel.Q8)
	shape.UntiedHead = true
	m := random(shape, kernel.Q8)
	ids := someIDs(60, 500)
	want := logits(t, m.NewState(kernel.NewPool(1)), ids)
	if slices.Equal(want, logits(t, tied.NewState(kernel.NewPool(1)), ids)) {
		t.Error("the head is the embedding")
	}
	eachTier(t, func(t *testing.T) {
		pool := kernel.NewPool(3)
		defer pool.Close()
		st := m.NewState(pool)
		for n := 50; n < len(ids); n++ {
			logits(t, st, ids[:n])
		}
		if got := logits(t, st, ids); !slices.Equal(got, want) {
			t.Error("other bits")
		}
	})
}
