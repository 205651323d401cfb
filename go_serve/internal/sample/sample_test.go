package sample

import (
	"cmp"
	"fmt"
	"hash/crc32"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"minitron/internal/kernel"
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

// TestZero has no settings at all: the likeliest token, also of an answer that holds it. A penalty of 0 is off like one of 1.
func TestZero(t *testing.T) {
	for _, presence := range []float64{0, 0.5} {
		s := New(Params{PresencePenalty: presence}, 1, 3, nil)
		if got := s.Next([]float32{-1, 3, -2}, []int{1, 0}); got != 1 {
			t.Errorf("presence penalty %v: %d, want 1", presence, got)
		}
		if got := s.Next([]float32{-1, -2, -3}, []int{0, 1}); got != 0 {
			t.Errorf("presence penalty %v: %d of negative ones, want 0", presence, got)
		}
	}
}

// TestPresenceAndFrequency pins OpenAI's formula: logit - count · frequency - (count > 0) · presence.
func TestPresenceAndFrequency(t *testing.T) {
	logits := []float32{1, 4, 3, -2} // id 1 comes three times in the answer, id 2 once
	tests := []struct {
		name                string
		presence, frequency float64
		want                [4]float32
	}{
		{"off", 0, 0, [4]float32{1, 4, 3, -2}},
		{"presence", 1.25, 0, [4]float32{1, 2.75, 1.75, -2}},
		{"frequency", 0, 0.5, [4]float32{1, 2.5, 2.5, -2}},
		{"both", 1.25, 0.5, [4]float32{1, 1.25, 1.25, -2}},
		{"negative ones make likelier", -2, -1, [4]float32{1, 9, 6, -2}},
	}
	for _, test := range tests {
		s := New(Params{RepeatPenalty: 1, TopP: 1, PresencePenalty: test.presence, FrequencyPenalty: test.frequency}, 1, 4, nil)
		s.penalize(logits, []int{1, 2, 1, 1})
		if got := [4]float32(logits); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
		for _, c := range s.changed {
			logits[c.id] = c.logit
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
		{"min-p above 1", func(p *Params) { p.MinP = 1.5 }, nil, []int{3, 4}},
		{"min-p above 1 after top-k", func(p *Params) { p.MinP, p.TopK = math.Inf(1), 2 }, nil, []int{3, 4}},
		{"no temperature", func(p *Params) { p.Temperature, p.TopK = math.NaN(), 2 }, nil, []int{3}},
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
	again := New(off, 9, 1000, nil)
	again.Next(logits, nil)
	again.Seed(42)
	if got := again.Next(logits, nil); got != draw(42)[0] {
		t.Errorf("seeded anew it draws %d, a new one draws %d", got, draw(42)[0])
	}
	if slices.Equal(draw(1), draw(2)) {
		t.Error("two seeds gave the same answer")
	}
	if want := []int{677, 881, 842}; !slices.Equal(draw(42)[:3], want) { // pinned: a seed means the same tomorrow
		t.Errorf("seed 42: %v, want %v", draw(42)[:3], want)
	}
}

// obvious does what Next promises in the plainest way: it sorts everything.
func obvious(p Params, random *rand.PCG, logits []float32, answer, banned []int) int {
	logits = slices.Clone(logits)
	for id := range logits {
		v := logits[id]
		if !slices.Contains(answer, id) {
			continue
		}
		if v > 0 {
			v /= float32(p.RepeatPenalty)
		} else {
			v *= float32(p.RepeatPenalty)
		}
		times := 0.0
		for _, said := range answer {
			if said == id {
				times++
			}
		}
		logits[id] = float32(float64(v) - (float64(times*p.FrequencyPenalty) + p.PresencePenalty))
	}
	for _, id := range banned {
		logits[id] = float32(math.Inf(-1))
	}
	var ids []int // the most probable first
	for id := range logits {
		ids = append(ids, id)
	}
	slices.SortStableFunc(ids, func(a, b int) int { return cmp.Compare(logits[b], logits[a]) })
	top := logits[ids[0]]
	if p.Temperature <= 0 || math.IsInf(float64(top), 0) {
		return ids[0]
	}
	if p.TopK > 0 {
		ids = ids[:min(p.TopK, len(ids))]
	}
	weights, total := make(map[int]uint64), uint64(0)
	for _, id := range ids {
		distance := float32((logits[id] - top) * float32(1/max(p.Temperature, 1e-30)))
		weights[id] = uint64(kernel.Exp(max(distance, -80)) * one)
		total += weights[id]
	}
	sum := uint64(0)
	for n, id := range ids {
		if sum += weights[id]; float64(sum) >= p.TopP*float64(total) {
			ids = ids[:n+1]
			break
		}
	}
	ids = slices.DeleteFunc(ids, func(id int) bool { return float64(weights[id]) < min(p.MinP, 1)*one })
	total = 0
	for _, id := range ids {
		total += weights[id]
	}
	slices.Sort(ids)
	point, _ := bits.Mul64(random.Uint64(), total)
	for _, id := range ids {
		if point < weights[id] {
			return id
		}
		point -= weights[id]
	}
	panic("unreachable")
}

// TestEqualsSorting compares every choice with the obvious one's, id by id, over all kinds of settings and of logits.
func TestEqualsSorting(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 5))
	pick := func(values ...float64) float64 { return values[random.IntN(len(values))] }
	for n := range 3000 {
		size := 1 + random.IntN(600)
		p := Params{
			Temperature:   pick(0, 1e-300, 0.01, 0.7, 1, 3, 100),
			TopK:          int(pick(0, 0, 1, 2, 40, 599, 1000)),
			TopP:          pick(1, 1, 1e-9, 0.5, 0.9, 0.999999),
			MinP:          pick(0, 0, 1e-6, 0.05, 0.5, 1, 1.5),
			RepeatPenalty: pick(1, 1, 1.2, 0.5),

			PresencePenalty:  pick(0, 0, 0.6, -2, 2),
			FrequencyPenalty: pick(0, 0, 0.3, -2, 2),
		}
		scale, step := float32(pick(0, 1, 4, 30)), float32(pick(1e-6, 0.5)) // steps: many ties, and -0
		logits := make([]float32, size)
		for id := range logits {
			v := (2*random.Float32() - 1) * scale
			logits[id] = float32(math.Trunc(float64(v/step))) * step
		}
		answer, banned := ids(random, random.IntN(8), min(size, 6)), ids(random, random.IntN(5), size) // an id often comes twice
		given := slices.Clone(logits)
		s, reference := New(p, uint64(n), size, banned), rand.NewPCG(uint64(n), seedHalf)
		for range 5 {
			want := obvious(p, reference, logits, answer, banned)
			if got := s.Next(logits, answer); got != want {
				t.Fatalf("case %d: %d, want %d (%+v, %d ids)", n, got, want, p, size)
			}
		}
		for id := range logits { // as bits: 0 == -0
			if math.Float32bits(logits[id]) != math.Float32bits(given[id]) {
				t.Fatalf("case %d: logit %d was %v and is %v", n, id, given[id], logits[id])
			}
		}
	}
}

func ids(random *rand.Rand, n, size int) (all []int) {
	for range n {
		all = append(all, random.IntN(size))
	}
	return all
}

// TestSameEverywhere pins 2,000 choices from logits that are made without floating-point functions: whatever the processor,
// they must be these.
func TestSameEverywhere(t *testing.T) {
	random := rand.NewPCG(9, 9)
	logits := make([]float32, 5000)
	h := crc32.NewIEEE()
	for _, p := range []Params{
		{Temperature: 0.7, TopK: 40, TopP: 0.95, RepeatPenalty: 1.1},
		{Temperature: 1, TopP: 0.9, RepeatPenalty: 1},
		{Temperature: 1.3, TopP: 1, MinP: 0.02, RepeatPenalty: 1},
		{Temperature: 1, TopP: 1, RepeatPenalty: 1},
	} {
		s := New(p, 1, len(logits), []int{0})
		var answer []int
		for range 500 {
			for id := range logits {
				u := random.Uint64()
				logits[id] = float32(int64(u&0xfffff+u>>20&0xfffff+u>>40&0xfffff)-3<<19) / (1 << 18)
			}
			answer = append(answer, s.Next(logits, answer))
		}
		for _, id := range answer {
			h.Write([]byte{byte(id), byte(id >> 8)})
		}
	}
	if got := h.Sum32(); got != 0x6eb4121c {
		t.Errorf("the choices have the checksum %#08x, want 0x6eb4121c", got)
	}
}

func TestExpOfZero(t *testing.T) {
	if got := kernel.Exp(0); got != 1 { // min-p 1 must leave the best one
		t.Errorf("Exp(0) = %v", got)
	}
}

func TestNextAllocatesNothing(t *testing.T) {
	logits := make([]float32, 32000)
	for i := range logits {
		logits[i] = float32(i%997) / 100
	}
	for _, p := range []Params{
		{RepeatPenalty: 1.1},
		{Temperature: 0.8, TopK: 40, TopP: 0.9, MinP: 0.05, RepeatPenalty: 1.1},
		{Temperature: 0.8, TopP: 0.9, RepeatPenalty: 1.1},
		{Temperature: 0.8, TopP: 0.9, RepeatPenalty: 1, PresencePenalty: 0.5, FrequencyPenalty: 0.5},
		{Temperature: 0.8, TopP: 1, MinP: 0.1, RepeatPenalty: 1},
	} {
		s, answer := New(p, 1, 32000, []int{0}), make([]int, 0, 64)
		if n := testing.AllocsPerRun(40, func() { answer = append(answer, s.Next(logits, answer)) }); n != 0 {
			t.Errorf("%+v: %v allocations per token", p, n)
		}
	}
}

func BenchmarkNext(b *testing.B) {
	settings := []struct {
		name   string
		params Params
	}{
		{"greedy", Params{RepeatPenalty: 1, TopP: 1}},
		{"usual", Params{Temperature: 0.7, TopK: 40, TopP: 0.95, RepeatPenalty: 1}},
		{"top-p", Params{Temperature: 1, TopP: 0.9, RepeatPenalty: 1}},
		{"min-p", Params{Temperature: 1, TopP: 1, MinP: 0.05, RepeatPenalty: 1}},
		{"all", Params{Temperature: 1, TopP: 1, RepeatPenalty: 1}},
	}
	for _, size := range []int{32_000, 150_000} {
		random := rand.New(rand.NewPCG(1, 1))
		logits := make([]float32, size)
		for i := range logits {
			logits[i] = float32(random.NormFloat64() * 3)
		}
		for _, setting := range settings {
			b.Run(fmt.Sprintf("%s/%d", setting.name, size), func(b *testing.B) {
				s := New(setting.params, 1, size, []int{0, 1, 2, 3})
				for b.Loop() {
					s.Next(logits, nil)
				}
			})
		}
	}
}
