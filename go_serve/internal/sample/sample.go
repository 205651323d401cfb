// Package sample chooses the next id from logits. It knows nothing of text or of the model.
package sample

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Params says how to choose. The order is fixed: repetition penalty, temperature, top-k, top-p, min-p, draw.
type Params struct {
	Temperature   float64 // 0 is greedy
	TopK          int     // keep the k most probable; 0 is off
	TopP          float64 // keep the fewest whose probabilities reach p; 1 is off
	MinP          float64 // keep those with at least this part of the highest probability; 0 is off
	RepeatPenalty float64 // 1 is off
}

// Sampler draws ids with its own seeded generator: the same seed, parameters and logits give the same ids.
type Sampler struct {
	Params
	random *rand.Rand
	banned []int // ids that are never chosen

	work       []float32   // [vocab] logits after the penalty
	candidates []candidate // [vocab]
	penalized  []bool      // [vocab] scratch
}

type candidate struct {
	id    int
	logit float32
	prob  float64 // divided by that of the best candidate
}

// New makes a sampler for a vocabulary of size ids. The ids of banned are never chosen, by no setting.
func New(params Params, seed uint64, size int, banned []int) *Sampler {
	return &Sampler{
		Params:     params,
		random:     rand.New(rand.NewPCG(seed, 0x6d696e6974726f6e)), // the second half is fixed: "minitron"
		banned:     banned,
		work:       make([]float32, size),
		candidates: make([]candidate, 0, size),
		penalized:  make([]bool, size),
	}
}

// Next returns the next id. answer holds the ids of the current answer so far; logits is [vocab] and left as it is.
func (s *Sampler) Next(logits []float32, answer []int) int {
	copy(s.work, logits)
	s.penalize(answer)
	for _, id := range s.banned {
		s.work[id] = float32(math.Inf(-1))
	}
	best := Argmax(s.work)
	if s.Temperature <= 0 || math.IsInf(float64(s.work[best]), 0) {
		return best
	}
	return s.draw(s.work[best])
}

// penalize makes the ids of the answer less likely, each once: a positive logit is divided by the penalty, another
// multiplied (arXiv 1909.05858).
func (s *Sampler) penalize(answer []int) {
	if s.RepeatPenalty == 1 {
		return
	}
	penalty := float32(s.RepeatPenalty)
	for _, id := range answer {
		if s.penalized[id] {
			continue
		}
		s.penalized[id] = true
		if s.work[id] > 0 {
			s.work[id] /= penalty
		} else {
			s.work[id] *= penalty
		}
	}
	for _, id := range answer {
		s.penalized[id] = false
	}
}

// Argmax returns the index of the largest value, the lowest of equals.
func Argmax(x []float32) int {
	best := 0
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return best
}

// draw chooses among the logits in s.work, of which top is the highest.
func (s *Sampler) draw(top float32) int {
	kept := s.collect(top)
	for i, c := range kept {
		kept[i].prob = math.Exp(float64(c.logit-top) / s.Temperature) // relative to the best one's
	}
	if s.TopP < 1 {
		kept = nucleus(kept, s.TopP)
	}
	if s.MinP > 0 {
		kept = slices.DeleteFunc(kept, func(c candidate) bool { return c.prob < s.MinP })
	}
	total := 0.0
	for _, c := range kept {
		total += c.prob
	}
	point := s.random.Float64() * total
	for _, c := range kept {
		if point -= c.prob; point < 0 {
			return c.id
		}
	}
	return kept[len(kept)-1].id // rounding left a crumb
}

// collect returns the candidates that temperature and top-k leave, in no order.
func (s *Sampler) collect(top float32) []candidate {
	// Below this the probability is under 1e-13 of the best one's: such ids cannot matter.
	floor := top - float32(30*s.Temperature)
	limit := math.MaxInt
	if s.TopK > 0 {
		limit = 4*s.TopK + 64
	}
	c := s.candidates[:0]
	for id, v := range s.work {
		if v < floor {
			continue
		}
		c = append(c, candidate{id: id, logit: v})
		if len(c) == limit { // thin out, and let the worst survivor be the floor for all that follow
			c = largest(c, s.TopK)
			floor = slices.MaxFunc(c, compare).logit
		}
	}
	if s.TopK > 0 && s.TopK < len(c) {
		c = largest(c, s.TopK)
	}
	return c
}

// compare is the order of candidates: the most probable first, the lowest id first among equals.
func compare(a, b candidate) int {
	switch {
	case a.logit > b.logit:
		return -1
	case a.logit < b.logit:
		return 1
	}
	return a.id - b.id
}

// largest moves the k first candidates (1 <= k < len(c)) to the front, in no order, and returns them. It is quickselect:
// linear time on average, and no sort of the vocabulary.
func largest(c []candidate, k int) []candidate {
	lo, hi := 0, len(c)
	for hi-lo > 1 {
		pivot := c[lo+(hi-lo)/2]
		i, j := lo, hi-1
		for i <= j {
			for compare(c[i], pivot) < 0 {
				i++
			}
			for compare(pivot, c[j]) < 0 {
				j--
			}
			if i <= j {
				c[i], c[j] = c[j], c[i]
				i, j = i+1, j-1
			}
		}
		// c[lo:j+1] come before the pivot or are it, c[i:hi] after it or are it.
		switch {
		case k <= j:
			hi = j + 1
		case k >= i:
			lo = i
		default:
			return c[:k]
		}
	}
	return c[:k]
}

// nucleus returns the fewest most probable candidates whose probabilities reach the part p of the whole; at least one.
// Blocks of growing size are selected and sorted, so a usual p sorts a few dozen.
func nucleus(c []candidate, p float64) []candidate {
	total := 0.0
	for _, x := range c {
		total += x.prob
	}
	sum := 0.0
	for done, block := 0, 64; done < len(c); block *= 4 {
		rest := c[done:]
		if block < len(rest) {
			rest = largest(rest, block)
		}
		slices.SortFunc(rest, compare)
		for i, x := range rest {
			if sum += x.prob; sum >= p*total {
				return c[:done+i+1]
			}
		}
		done += len(rest)
	}
	return c
}
