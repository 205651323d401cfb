package sample

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// FuzzNext gives any finite logits and any settings that the program lets through, and a min-p that Go code may set: the choices are the obvious ones, and the
// logits stay as they were.
func FuzzNext(f *testing.F) {
	logitBytes := func(logits ...float32) (data []byte) {
		for _, v := range logits {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
		}
		return data
	}
	f.Add(logitBytes(1, 2, 2, -1, 0), []byte{1, 1, 3}, []byte{2}, uint64(1), 0.8, uint16(3), 0.9, 0.05, 1.1, 0.5, 0.5)
	f.Add(logitBytes(0, float32(math.Copysign(0, -1)), 1e-40), []byte{}, []byte{}, uint64(2), 1.0, uint16(0), 0.5, 0.0, 1.0, 0.0, 0.0)
	f.Add(logitBytes(3e38, -3e38, 3e38, 5), []byte{0, 1}, []byte{3}, uint64(3), 1e-300, uint16(2), 1.0, 1.0, 0.01, -2.0, 2.0)
	f.Add(logitBytes(1), []byte{0, 0}, []byte{0}, uint64(4), 100.0, uint16(9), 1e-6, 0.3, 100.0, 2.0, -2.0)
	f.Add(logitBytes(1, 2, 2, -1), []byte{}, []byte{0}, uint64(5), 1.0, uint16(3), 0.9, 1.5, 1.0, 0.0, 0.0)    // as min-p 1
	f.Add(logitBytes(4e-43, 1e-40), []byte{}, []byte{}, uint64(0), 1e-300, uint16(0), 1.0, 1.0, 1.0, 0.0, 0.0) // as good as equal
	f.Fuzz(func(t *testing.T, data, said, never []byte, seed uint64, temperature float64, topK uint16, topP, minP, repeat, presence, frequency float64) {
		var logits []float32
		for ; len(data) >= 4 && len(logits) < 2000; data = data[4:] {
			v := math.Float32frombits(binary.LittleEndian.Uint32(data))
			if v-v != 0 { // no finite number
				v = 0
			}
			logits = append(logits, v)
		}
		if len(logits) == 0 {
			return
		}
		ids := func(data []byte) (ids []int) {
			for _, b := range data {
				ids = append(ids, int(b)%len(logits))
			}
			return ids
		}
		p := Params{
			Temperature: within(temperature, 0, 100), TopK: int(topK), TopP: within(topP, 1e-6, 1), MinP: within(minP, 0, 2),
			RepeatPenalty: within(repeat, 0.01, 100), PresencePenalty: within(presence, -2, 2), FrequencyPenalty: within(frequency, -2, 2),
		}
		answer, banned, given := ids(said), ids(never), slices.Clone(logits)
		s, reference := New(p, seed, len(logits), banned), rand.NewPCG(seed, seedHalf)
		for range 3 {
			want := obvious(p, reference, logits, answer, banned)
			if got := s.Next(logits, answer); got != want {
				t.Fatalf("%d, want %d (%+v, %v, answer %v, banned %v)", got, want, p, logits, answer, banned)
			}
			answer = append(answer, want)
		}
		for id := range logits { // as bits: 0 == -0
			if math.Float32bits(logits[id]) != math.Float32bits(given[id]) {
				t.Fatalf("logit %d was %v and is %v", id, given[id], logits[id])
			}
		}
	})
}

// within returns the number from lo to hi that is nearest to x; lo for a NaN.
func within(x, lo, hi float64) float64 {
	if !(x >= lo) {
		return lo
	}
	return min(x, hi)
}
