package sample

import (
	"cmp"
	"math"
	"slices"

	"minitron/internal/kernel"
)

// candidate is an id that may be drawn.
type candidate struct {
	key    uint64 // logit and id as one number: the more probable, the higher; of equals the lowest id is the highest
	weight uint64 // probability, in parts of the best one's
}

// one is the weight of the best candidate. A million of them still add up without overflow.
const one = 1 << 40

// What is farther than reach from the best candidate, in nats, has the weight 0: exp(-28) < 1 / one.
const reach = 28

// Bins count weights by distance from the best candidate, so that top-p has to sort those of one bin only.
const (
	binsPerNat = 32
	binCount   = reach * binsPerNat
)

func newCandidate(logit float32, id int) candidate {
	b := math.Float32bits(logit + 0) // -0 becomes 0, its equal
	b ^= uint32(int32(b)>>31) | 1<<31
	return candidate{key: uint64(b)<<32 | uint64(^uint32(id))}
}

func (c candidate) id() int { return int(^uint32(c.key)) }

func (c candidate) logit() float32 {
	b := uint32(c.key >> 32)
	return math.Float32frombits(b ^ (uint32(int32(^b)>>31) | 1<<31))
}

// weightWithin returns the weight, or 0 where a filter drops the candidate.
func (c candidate) weightWithin(lowest, least uint64) uint64 {
	if c.key < lowest || c.weight < least {
		return 0
	}
	return c.weight
}

// collect returns the candidates that top-k leaves, ascending by id, without what has no chance; and the highest logit.
func (s *Sampler) collect(logits []float32) (c []candidate, top float32) {
	if k := s.TopK; k > 0 && k < len(logits) {
		c = s.largestLogits(logits, k)
		var highest candidate
		for _, x := range c {
			highest.key = max(highest.key, x.key)
		}
		return c, highest.logit()
	}
	top = logits[Argmax(logits)]
	temperature := s.temperature()
	span := reach * temperature
	if s.MinP > 0 && s.TopP == 1 { // what min-p would drop anyway; a little more, as this logarithm is no exact one
		span = min(span, (0.001-math.Log(s.MinP))*temperature)
	}
	floor := max(float32(float64(top)-span), -math.MaxFloat32) // not minus infinity, which banned ids have
	c = s.candidates[:0]
	for id, v := range logits {
		if v >= floor {
			c = append(c, newCandidate(v, id))
		}
	}
	return c, top
}

// largestLogits returns the k largest, ascending by id.
func (s *Sampler) largestLogits(logits []float32, k int) []candidate {
	c, floor := s.candidates[:0], float32(math.Inf(-1))
	for id := above(logits, 0, floor); id < len(logits); id = above(logits, id+1, floor) {
		c = append(c, newCandidate(logits[id], id))
		if len(c) == 4*k+64 { // thin out; the worst survivor is the floor for all that follow, as their ids are higher
			c = largest(c, k)
			worst := c[0]
			for _, x := range c {
				worst.key = min(worst.key, x.key)
			}
			floor = worst.logit()
		}
	}
	if k < len(c) {
		c = largest(c, k)
	}
	slices.SortFunc(c, func(a, b candidate) int { return a.id() - b.id() })
	return c
}

// temperature returns Temperature, but not less than what has a finite inverse.
func (s *Sampler) temperature() float64 { return max(s.Temperature, 1e-30) }

func (s *Sampler) inverse() float32 { return float32(1 / s.temperature()) }

// distance returns how far a logit is from the highest, in nats at the temperature: 0 or less. It is converted, so that no
// processor fuses the product with what follows.
func distance(logit, top, inverse float32) float32 { return float32((logit - top) * inverse) }

// binOf returns the bin of a distance within reach.
func binOf(distance float32) int { return int(int32(distance * -binsPerNat)) }

// weigh gives the candidates their weights, fills the bins for top-p and returns the sum.
func (s *Sampler) weigh(c []candidate, top float32) (total uint64) {
	clear(s.bins[:])
	inverse := s.inverse()
	for i := range c {
		d := distance(c[i].logit(), top, inverse)
		if d <= -reach {
			continue // the weight is 0
		}
		weight := uint64(int64(kernel.Exp(d) * one))
		c[i].weight = weight
		s.bins[binOf(d)] += weight
		total += weight
	}
	return total
}

// nucleus finds the fewest most probable candidates whose weights reach the part TopP of total: it returns the key of the
// last of them, and their sum.
func (s *Sampler) nucleus(c []candidate, top float32, total uint64) (lowest, sum uint64) {
	need := min(total, max(1, uint64(math.Ceil(s.TopP*float64(total)))))
	bin := 0
	for ; sum+s.bins[bin] < need; bin++ {
		sum += s.bins[bin]
	}
	edge, inverse := s.edge[:0], s.inverse()
	for _, x := range c {
		if x.weight > 0 && binOf(distance(x.logit(), top, inverse)) == bin {
			edge = append(edge, x)
		}
	}
	slices.SortFunc(edge, func(a, b candidate) int { return cmp.Compare(b.key, a.key) })
	for _, x := range edge {
		if sum += x.weight; sum >= need {
			return x.key, sum
		}
	}
	panic("sample: the weights do not add up")
}

// largest moves the k candidates of the highest keys (1 <= k < len(c)) to the front, in no order, and returns them. It is
// quickselect: linear time on average, and no sort of the vocabulary.
func largest(c []candidate, k int) []candidate {
	lo, hi := 0, len(c)
	for hi-lo > 1 {
		pivot := c[lo+(hi-lo)/2].key
		i, j := lo, hi-1
		for i <= j {
			for c[i].key > pivot {
				i++
			}
			for c[j].key < pivot {
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
