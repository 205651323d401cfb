package sample

import (
	"cmp"
	"math"
	"slices"

	"minitron/internal/kernel"
)

// candidate is an id that may be drawn.
type candidate struct {
	key    uint64 // logit and id as one number: the more probable, the higher; of equal logits the lowest id has the highest key
	weight uint64 // probability relative to that of the best candidate, which has the weight one
}

// one is the weight of the best candidate. A million such weights still add up without overflow.
const one = 1 << 40

// A candidate farther than reach from the best one, in nats, has the weight 0: exp(-28) < 1 / one.
const reach = 28

// Bins add up weights by distance from the best candidate, so that top-p has to sort the candidates of one bin only.
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

// weightWithin returns the weight, or 0 if a filter drops the candidate.
func (c candidate) weightWithin(lowest, least uint64) uint64 {
	if c.key < lowest || c.weight < least {
		return 0
	}
	return c.weight
}

// collect returns the candidates that top-k leaves, and the highest logit. The candidates ascend by id; without top-k, those
// that have no chance to be drawn are left out.
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
	if s.MinP > 0 && s.TopP == 1 { // min-p would drop what is beyond this; 0.001 is a margin, as this logarithm is not exact
		span = min(span, (0.001-math.Log(s.minP()))*temperature)
	}
	floor := max(float32(float64(top)-span), -math.MaxFloat32) // above minus infinity, which banned ids have
	c = s.candidates[:0]
	for id, v := range logits {
		if v >= floor {
			c = append(c, newCandidate(v, id))
		}
	}
	return c, top
}

// largestLogits returns the candidates with the k largest logits, ascending by id.
func (s *Sampler) largestLogits(logits []float32, k int) []candidate {
	c, floor := s.candidates[:0], float32(math.Inf(-1))
	for id := above(logits, 0, floor); id < len(logits); id = above(logits, id+1, floor) {
		c = append(c, newCandidate(logits[id], id))
		if len(c) == 4*k+64 { // thin out; later ids are higher, so of them only logits above that of the worst survivor count
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

// temperature returns Temperature, within bounds in which its inverse is finite and above 0.
func (s *Sampler) temperature() float64 { return min(max(s.Temperature, 1e-30), 1e30) }

// minP returns MinP, but at most 1: the best candidate always stays.
func (s *Sampler) minP() float64 { return min(s.MinP, 1) }

func (s *Sampler) inverse() float32 { return float32(1 / s.temperature()) }

// distance returns how far a logit is from the highest, in nats at the temperature: 0 or less. The conversion keeps processors
// from fusing the product with what follows.
func distance(logit, top, inverse float32) float32 { return float32((logit - top) * inverse) }

// binOf returns the bin of a distance within reach.
func binOf(distance float32) int { return int(int32(distance * -binsPerNat)) }

// weigh sets the weights of the candidates, fills the bins for top-p and returns the sum of the weights.
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

// nucleus finds the smallest number of most probable candidates whose weights add up to at least the share TopP of total. It
// returns the key of the last of them, and the sum of their weights.
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

// largest moves the k candidates with the highest keys (1 <= k < len(c)) to the front, in no particular order, and returns
// them. It is quickselect: linear time on average, and the vocabulary is not sorted.
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
		// Keys of c[lo:j+1] are at least the pivot, those of c[i:hi] at most the pivot.
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
