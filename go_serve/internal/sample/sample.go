// Package sample chooses the next id from logits. It knows nothing of text or of the model.
//
// The same seed, parameters and logits give the same ids on every machine: probabilities are whole numbers, so that no
// sum depends on its order, and the one exponential function is kernel's own. Nothing is allocated per id, and the
// vocabulary is never sorted.
package sample

import (
	"math"
	"math/bits"
	"math/rand/v2"
)

// Params says how to choose. The order is fixed: repetition penalty, presence and frequency penalty, temperature, top-k,
// top-p, min-p, draw. The zero value is greedy.
type Params struct {
	Temperature      float64 // 0 is greedy
	TopK             int     // keep the k most probable; 0 is off
	TopP             float64 // keep the fewest whose probabilities add up to p, at least one; 1 is off
	MinP             float64 // keep those with at least this share of the highest probability, 0 to 1; 0 is off
	RepeatPenalty    float64 // 0 and 1 are off
	PresencePenalty  float64 // subtracted from the logit of each id that the answer holds; 0 is off
	FrequencyPenalty float64 // subtracted once for each time that the answer holds the id; 0 is off
}

// Sampler draws ids with its own seeded generator.
type Sampler struct {
	Params
	random *rand.PCG
	banned []int // ids that are never chosen

	candidates []candidate      // [vocab]
	edge       []candidate      // [vocab] the candidates of one bin
	bins       [binCount]uint64 // weights of the candidates by distance from the best
	changed    []original       // the original logits, to be put back
	counts     []int32          // [vocab] how often the answer holds an id; zero between calls
}

// seedHalf is the half of the generator's seed that is always the same: "minitron".
const seedHalf = 0x6d696e6974726f6e

// original is a logit as it was before a penalty or a ban.
type original struct {
	id    int32
	logit float32
}

// New makes a sampler for a vocabulary of size ids. The ids in banned are never chosen, whatever the settings.
func New(params Params, seed uint64, size int, banned []int) *Sampler {
	return &Sampler{
		Params:     params,
		random:     rand.NewPCG(seed, seedHalf),
		banned:     banned,
		candidates: make([]candidate, 0, size),
		edge:       make([]candidate, 0, size),
		changed:    make([]original, 0, size+len(banned)),
		counts:     make([]int32, size),
	}
}

// Seed restarts the generator: from then on the sampler draws as a new one with this seed would.
func (s *Sampler) Seed(seed uint64) { s.random.Seed(seed, seedHalf) }

// Next returns the next id. answer holds the ids of the current answer so far. logits is [vocab] and finite; Next changes it
// while it works and restores it before it returns, as a copy would take as long as choosing does.
func (s *Sampler) Next(logits []float32, answer []int) int {
	s.penalize(logits, answer)
	for _, id := range s.banned {
		s.set(logits, id, float32(math.Inf(-1)))
	}
	id := s.choose(logits)
	for len(s.changed) > 0 { // backwards, as a banned id may have been penalized before
		last := len(s.changed) - 1
		logits[s.changed[last].id] = s.changed[last].logit
		s.changed = s.changed[:last]
	}
	return id
}

func (s *Sampler) set(logits []float32, id int, logit float32) {
	s.changed = append(s.changed, original{int32(id), logits[id]})
	logits[id] = logit
}

// penalize lowers the logits of the ids that the answer holds.
func (s *Sampler) penalize(logits []float32, answer []int) {
	if (s.RepeatPenalty == 0 || s.RepeatPenalty == 1) && s.PresencePenalty == 0 && s.FrequencyPenalty == 0 {
		return
	}
	for _, id := range answer {
		s.counts[id]++
	}
	for _, id := range answer {
		if count := s.counts[id]; count > 0 {
			s.set(logits, id, s.penalized(logits[id], count))
			s.counts[id] = 0
		}
	}
}

// penalized returns the logit of an id that the answer holds count times. The repetition penalty divides a positive logit and
// multiplies any other (arXiv 1909.05858). Then OpenAI's penalties are subtracted: logit - count · frequency penalty - presence
// penalty. The conversions keep processors from fusing operations.
func (s *Sampler) penalized(logit float32, count int32) float32 {
	switch penalty := float32(s.RepeatPenalty); {
	case penalty == 0: // off
	case logit > 0:
		logit /= penalty
	default:
		logit = float32(logit * penalty)
	}
	if s.PresencePenalty == 0 && s.FrequencyPenalty == 0 {
		return logit
	}
	off := float64(float64(count)*s.FrequencyPenalty) + s.PresencePenalty
	return float32(float64(logit) - off)
}

// choose takes the best id, or draws one of those that the filters leave.
func (s *Sampler) choose(logits []float32) int {
	if !(s.Temperature > 0) { // NaN is no temperature
		return Argmax(logits)
	}
	c, top := s.collect(logits)
	if len(c) == 0 || math.IsInf(float64(top), 0) {
		return Argmax(logits)
	}
	total := s.weigh(c, top)
	var lowest uint64 // the key of the last candidate that top-p keeps
	if s.TopP < 1 {
		lowest, total = s.nucleus(c, top, total)
	}
	least := uint64(1) // the smallest weight that min-p keeps
	if s.MinP > 0 {
		least = max(1, uint64(math.Ceil(s.minP()*one)))
		total = 0
		for i := range c {
			total += c[i].weightWithin(lowest, least)
		}
	}
	point, _ := bits.Mul64(s.random.Uint64(), total) // 0 <= point < total, very nearly uniform
	for i := range c {
		weight := c[i].weightWithin(lowest, least)
		if point < weight {
			return c[i].id()
		}
		point -= weight
	}
	panic("sample: the weights do not add up")
}

// Argmax returns the index of the largest value; of equal ones the lowest index.
func Argmax(x []float32) int {
	best := 0
	for i := above(x, 1, x[0]); i < len(x); i = above(x, i+1, x[best]) {
		best = i
	}
	return best
}

// above returns the first index from i on whose value is above floor, or len(x) if there is none. Few values are above it, so
// most of the time is spent in this loop.
func above(x []float32, i int, floor float32) int {
	for ; i+8 <= len(x); i += 8 {
		b := x[i : i+8 : i+8]
		if b[0] > floor || b[1] > floor || b[2] > floor || b[3] > floor ||
			b[4] > floor || b[5] > floor || b[6] > floor || b[7] > floor {
			break
		}
	}
	for ; i < len(x); i++ {
		if x[i] > floor {
			return i
		}
	}
	return len(x)
}
