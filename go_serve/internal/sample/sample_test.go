package sample

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

var off = Params{Temperature: 1, TopP: 1, RepeatPenalty: 1}

// drawn counts what n draws give.
func drawn(s *Sampler, logits []float32, answer []int, n int) []int {
	counts := make([]int, len(logits))
	for range n {
		counts[s.Next(logits, answer)]++
	}
	return counts
}

func TestGreedy(t *testing.T) {
	tests := []struct {
		name    string
		logits  []float32
		answer  []int
		penalty float64
		banned  []int
		want    int
	}{
		{"highest", []float32{1, 3, 2}, nil, 1, nil, 1},
		{"lowest id of equals", []float32{1, 3, 3}, nil, 1, nil, 1},
		{"all negative", []float32{-3, -1, -2}, nil, 1, nil, 1},
		{"banned", []float32{1, 3, 2}, nil, 1, []int{1}, 2},
		{"penalty divides a positive logit", []float32{1, 3, 2}, []int{1}, 2, nil, 2},
		{"penalty multiplies a negative logit", []float32{-3, -1, -1.5}, []int{1}, 2, nil, 2},
		{"penalty counts an id once", []float32{1, 3, 1.4}, []int{1, 1, 1}, 2, nil, 1},
		{"everything else at minus infinity", []float32{float32(math.Inf(-1)), 0}, nil, 1, []int{0}, 1},
	}
	for _, test := range tests {
		given := slices.Clone(test.logits)
		s := New(Params{RepeatPenalty: test.penalty, TopP: 1}, 1, len(given), test.banned)
		if got := s.Next(given, test.answer); got != test.want {
			t.Errorf("%s: %d, want %d", test.name, got, test.want)
		}
		if !slices.Equal(given, test.logits) {
			t.Errorf("%s: the caller's logits changed", test.name)
		}
	}
}

// TestDistribution draws often and compares the counts with the probabilities, within five standard deviations.
func TestDistribution(t *testing.T) {
	logits := []float32{0, 1, 2, -1, 2}
	const n = 200_000
	for _, temperature := range []float64{0.5, 1, 2} {
		p := off
		p.Temperature = temperature
		counts := drawn(New(p, 7, 5, nil), logits, nil, n)
		total := 0.0
		for _, v := range logits {
			total += math.Exp(float64(v) / temperature)
		}
		for id, v := range logits {
			want := math.Exp(float64(v)/temperature) / total
			if d := math.Abs(float64(counts[id])/n - want); d > 5*math.Sqrt(want*(1-want)/n) {
				t.Errorf("temperature %v: id %d came %d times of %d, want %.4f", temperature, id, counts[id], n, want)
			}
		}
	}
}

// TestWhoMayCome pins which ids each filter leaves. exp of the logits: 1, 2, 4, 8, and 8 again (sum 23).
func TestWhoMayCome(t *testing.T) {
	ln := func(x float64) float32 { return float32(math.Log(x)) }
	logits := []float32{ln(1), ln(2), ln(4), ln(8), ln(8)}
	tests := []struct {
		name   string
		change func(p *Params)
		banned []int
		want   []int
	}{
		{"all", func(p *Params) {}, nil, []int{0, 1, 2, 3, 4}},
		{"top-k", func(p *Params) { p.TopK = 3 }, nil, []int{2, 3, 4}},
		{"top-k 1 takes the lowest id of equals", func(p *Params) { p.TopK = 1 }, nil, []int{3}},
		{"top-k above the vocabulary", func(p *Params) { p.TopK = 99 }, nil, []int{0, 1, 2, 3, 4}},
		{"top-p", func(p *Params) { p.TopP = 0.6 }, nil, []int{3, 4}}, // 16/23 = 0.696
		{"top-p just above", func(p *Params) { p.TopP = 0.7 }, nil, []int{2, 3, 4}},
		{"top-p tiny", func(p *Params) { p.TopP = 1e-9 }, nil, []int{3}},
		{"top-p after top-k", func(p *Params) { p.TopK, p.TopP = 3, 0.79 }, nil, []int{3, 4}}, // 16/20 of what top-k left
		{"min-p", func(p *Params) { p.MinP = 0.3 }, nil, []int{2, 3, 4}},                      // at least 0.3 · 8 = 2.4
		{"min-p 1", func(p *Params) { p.MinP = 1 }, nil, []int{3, 4}},
		{"banned", func(p *Params) {}, []int{3, 4}, []int{0, 1, 2}},
		{"tiny temperature", func(p *Params) { p.Temperature = 1e-300 }, nil, []int{3, 4}},
		{"temperature before top-p", func(p *Params) { p.Temperature, p.TopP = 100, 0.9 }, nil, []int{0, 1, 2, 3, 4}},
	}
	for _, test := range tests {
		p := off
		test.change(&p)
		var got []int
		for id, count := range drawn(New(p, 3, 5, test.banned), logits, nil, 5000) {
			if count > 0 {
				got = append(got, id)
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

// TestTopKOfMany draws from a vocabulary so large that candidates are thinned out on the way.
func TestTopKOfMany(t *testing.T) {
	p := off
	p.TopK = 3
	for seed := range uint64(20) {
		logits := make([]float32, 3000)
		for i, rank := range rand.New(rand.NewPCG(seed, 0)).Perm(3000) {
			logits[i] = float32(rank) / 3000
		}
		for id, count := range drawn(New(p, seed, 3000, nil), logits, nil, 100) {
			if best := logits[id] >= 2997.0/3000; best != (count > 0) {
				t.Errorf("seed %d: id %d with logit %v came %d times", seed, id, logits[id], count)
			}
		}
	}
}

func TestSeed(t *testing.T) {
	logits := make([]float32, 1000)
	draw := func(seed uint64) (ids []int) {
		s := New(off, seed, 1000, nil)
		for range 20 {
			ids = append(ids, s.Next(logits, ids))
		}
		return ids
	}
	if !slices.Equal(draw(1), draw(1)) {
		t.Error("the same seed gave two answers")
	}
	if slices.Equal(draw(1), draw(2)) {
		t.Error("two seeds gave the same answer")
	}
	if want := []int{872, 302, 621}; !slices.Equal(draw(42)[:3], want) { // pinned: a seed means the same tomorrow
		t.Errorf("seed 42: %v, want %v", draw(42)[:3], want)
	}
}

// TestSelectionEqualsSorting compares the partial selections with a full sort.
func TestSelectionEqualsSorting(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 5))
	for range 500 {
		n := 1 + random.IntN(400)
		c := make([]candidate, n)
		for i := range c {
			logit := float32(random.IntN(30)) // many ties
			c[i] = candidate{i, logit, math.Exp(float64(logit - 30))}
		}
		sorted := slices.Clone(c)
		slices.SortFunc(sorted, compare)
		if n > 1 {
			k := 1 + random.IntN(n-1)
			got := slices.Clone(largest(slices.Clone(c), k))
			slices.SortFunc(got, compare)
			if !slices.Equal(got, sorted[:k]) {
				t.Fatalf("largest %d of %d differs from sorting", k, n)
			}
		}
		p, total, sum, want := random.Float64(), 0.0, 0.0, 0
		for _, x := range sorted {
			total += x.prob
		}
		for sum < p*total {
			sum += sorted[want].prob
			want++
		}
		if got := nucleus(slices.Clone(c), p); len(got) < want-1 || len(got) > want+1 {
			t.Fatalf("nucleus %v keeps %d of %d, want %d", p, len(got), n, want)
		}
	}
}

func TestNextAllocatesNothing(t *testing.T) {
	logits := make([]float32, 32000)
	for i := range logits {
		logits[i] = float32(i%997) / 100
	}
	s := New(Params{Temperature: 0.8, TopK: 40, TopP: 0.9, MinP: 0.05, RepeatPenalty: 1.1}, 1, 32000, []int{0})
	if n := testing.AllocsPerRun(20, func() { s.Next(logits, []int{5, 6}) }); n > 1 { // the argument itself
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkNext(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 1))
	logits := make([]float32, 32000)
	for i := range logits {
		logits[i] = float32(random.NormFloat64() * 3)
	}
	s := New(Params{Temperature: 0.8, TopK: 40, TopP: 0.95, RepeatPenalty: 1}, 1, 32000, nil)
	for b.Loop() {
		s.Next(logits, nil)
	}
}
