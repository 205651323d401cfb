package model

import (
	"context"
	"math"
	"math/rand/v2"
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
		if a, ok := st.memories[0].(*attentionMemory); ok {
			a.rope.cover(0, m.shape.Context)
		}
		runtime.ReadMemStats(&after)
		took, said := int64(after.TotalAlloc-before.TotalAlloc), m.StateBytes()
		if m.shape.Endless() { // it has no marks yet
			said -= int64(marksFor(m.MemoryBytes())) * m.MemoryBytes()
		}
		if said < took*85/100 || said > took*105/100 { // the input of a block and the scratch memory of one thread are left out
			t.Errorf("%d bytes were allocated, %d are said", took, said)
		}
	})
	// The cache of docs/performance.md's 50M model: two bytes of keys and of values, 10 layers, 8 heads of 64, 1024 tokens.
	if got, _ := (&attention{kvHeads: 8, headDim: 64}).memoryBytes(1024); 10*got != 2*2*10*8*64*1024 {
		t.Errorf("%d bytes of keys and values in a layer", got)
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
		left, bads := 13, [][]int{nil, {-1}, {m.shape.VocabSize}, someIDs(15, 200)}
		if m.shape.Endless() { // it goes back to before the last of the first five, and has room for fifteen more
			left, bads = 4, bads[:3]
		}
		if kept := st.Truncate(13); kept != left || st.Len() != left {
			t.Errorf("%s: %d ids are left, want %d", name, kept, left)
		}
		if kept := st.Truncate(20); kept != left {
			t.Errorf("%s: %d ids are left after keeping more than there are", name, kept)
		}
		if got := extend(ids[left:]); !slices.Equal(got, want) {
			t.Errorf("%s: in parts differs", name)
		}
		for _, bad := range bads {
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

// leakySum is a mixer that keeps a sum in constant memory, and cannot go back by itself: what a recurrent shape is to the rest of
// this package. Its rows are what o makes of queries in the attention that it stands in for.
type leakySum struct{ like *attention }

func (l leakySum) in() kernel.Linear  { return l.like.o }
func (l leakySum) out() kernel.Linear { return l.like.o }
func (l leakySum) width() int         { return l.like.width() }

func (l leakySum) memoryBytes(int) (kept, spare int64) {
	return 4 * int64(l.width()), 4 * int64(l.width())
}
func (l leakySum) newMemory(int, *workspace) memory {
	return &leakyMemory{leakySum: l, now: make([]float32, l.width()), next: make([]float32, l.width())}
}

type leakyMemory struct {
	leakySum
	now, next []float32 // the sum up to the last commit, and with the block at hand
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

func (m *leakyMemory) commit() { m.now, m.next = m.next, m.now }

func (m *leakyMemory) copied() any { return slices.Clone(m.now) }

func (m *leakyMemory) restore(kept any) {
	clear(m.now)
	if kept != nil {
		copy(m.now, kept.([]float32))
	}
}

// TestRecurrentMixer puts a mixer that forgets its past into the first layer of two: the same calls, the same results, also after work
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
	if got := logits(t, st, ids); !slices.Equal(got, want) { // the last one is read again, and so all but the first 199
		t.Error("the same list again differs")
	}
	if kept := st.Truncate(198); kept != 0 || st.Len() != 0 {
		t.Errorf("%d ids are left, %d held", kept, st.Len())
	}
	for asked := range 9 { // broken off before each layer of four blocks, the last of which is one id, or not at all
		st.Truncate(0)
		if _, err := st.Logits(countdown{context.Background(), &asked}, ids); (err == nil) != (asked >= 0) || err != nil && err != context.Canceled {
			t.Errorf("broken off: %v", err)
		}
		if st.Len() != len(ids) && st.Len() != len(ids)-1 && st.Len()%blockTokens != 0 {
			t.Errorf("%d ids are held", st.Len())
		}
		held := st.Len()
		if got := logits(t, st, ids); !slices.Equal(got, want) {
			t.Errorf("after %d ids and a break: other logits", held)
		}
	}
}

// TestMarks goes back in an endless sequence: to before the last id of a prompt, to where a prompt parted, and no further back than
// the oldest mark. What is read afterwards is what it would be from the beginning.
func TestMarks(t *testing.T) {
	m := wide("stream", kernel.Q8)
	pool := kernel.NewPool(1)
	fresh := func(ids []int) []float32 { return logits(t, m.NewState(pool), ids) }
	st := m.NewState(pool)
	read := func(ids []int, kept int) {
		t.Helper()
		if got := st.Begin(ids); got != kept {
			t.Errorf("%d ids: %d are kept, want %d", len(ids), got, kept)
		}
		got, err := st.Extend(context.Background(), ids[st.Len():])
		if err != nil || !slices.Equal(got, fresh(ids)) {
			t.Errorf("%d ids: other logits, %v", len(ids), err)
		}
	}
	ids := someIDs(400, 500)
	read(ids[:150], 0)
	read(ids[:151], 150) // a token
	read(ids[:300], 151) // the next question
	read(ids[:300], 299) // another answer to it
	other := append(slices.Clone(ids[:200]), 7, 8, 9)
	read(other, 149) // another question: read again from the end of the first, and marked where it parted
	read(append(slices.Clone(ids[:200]), 10, 11), 200)
	read(ids[:120], 0)
	if n := len(st.marks.all); n != 1 {
		t.Errorf("%d marks are left", n)
	}
	for n := range 20 { // as many as are kept, the first of them
		read(ids[:130+10*n], 120+10*n)
	}
	if n := len(st.marks.all); n != mostMarks || st.marks.all[0].position != 119 {
		t.Errorf("%d marks, the first at %d", n, st.marks.all[0].position)
	}
	for memory, want := range map[int64]int{1: 8, 8 << 20: 8, 16 << 20: 4, 1 << 30: 1} {
		if got := marksFor(memory); got != want {
			t.Errorf("%d marks of %d bytes, want %d", got, memory, want)
		}
	}
}

// TestEndless reads far past the context and the window: the same bits block by block and one by one, and no more memory.
func TestEndless(t *testing.T) {
	m := wide("stream", kernel.Q4)
	pool := kernel.NewPool(2)
	defer pool.Close()
	ids := someIDs(700, 500)
	want := logits(t, m.NewState(pool), ids)
	st := m.NewState(pool)
	if err := st.Read(context.Background(), ids[:560]); err != nil {
		t.Fatal(err)
	}
	for n := 561; n < len(ids); n++ {
		if _, err := st.Extend(context.Background(), ids[n-1:n]); err != nil {
			t.Fatal(err)
		}
	}
	got, err := st.Extend(context.Background(), ids[len(ids)-1:])
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("one by one differs: %v", err)
	}
	if m.shape.Longest() != 1<<28 {
		t.Errorf("a sequence may have %d tokens", m.shape.Longest())
	}

	// a mark takes what is said to be kept of a sequence, a copy of it
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, memory := range st.marks.fleeting {
		memory.copied()
	}
	runtime.ReadMemStats(&after)
	// slices grow while the heads of a window are copied
	if took, said := int64(after.TotalAlloc-before.TotalAlloc), m.MemoryBytes(); said > 250_000 || took < said || took > 2*said {
		t.Errorf("a copy took %d bytes, %d are said to be kept", took, said)
	}
}

// TestLayersOfManyWidths makes models whose mixers are not as wide as the model, nor a multiple of a block's 32 numbers: what one
// layer leaves behind must not reach the next one. A sequence gets the same bits, whatever was read before it.
func TestLayersOfManyWidths(t *testing.T) {
	draw := rand.New(rand.NewPCG(7, 8))
	for range 30 {
		kinds := []string{"conv", "window", "delta"}
		draw.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
		heads := 1 + draw.IntN(3)
		shape := weights.Shape{
			Arch: "stream", Layers: 3, Heads: heads, KVHeads: heads, HeadWidth: 2 * (1 + draw.IntN(10)), Dim: 1 + draw.IntN(50), FFDim: 1 + draw.IntN(70),
			VocabSize: 40, Context: 64, RopeTheta: 10000, NormEps: 1e-5, Kinds: kinds, Window: 8, ConvWidth: 3,
		}
		m := random(shape, []kernel.DType{kernel.Q8, kernel.Q4}[draw.IntN(2)])
		ids := someIDs(60, shape.VocabSize)
		want := logits(t, m.NewState(kernel.NewPool(1)), ids)
		used := m.NewState(kernel.NewPool(1))
		logits(t, used, append([]int{3}, ids[:40]...))
		if !slices.Equal(logits(t, used, ids), want) {
			t.Errorf("%+v: other logits after another sequence", shape)
		}
		for n := range ids {
			got := logits(t, used, ids[:n+1])
			if n == len(ids)-1 && !slices.Equal(got, want) {
				t.Errorf("%+v: other logits token by token", shape)
			}
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
