package engine

import (
	"math"
	"slices"

	"minitron/internal/sample"
)

// MaxTopLogprobs is the largest number of likely tokens that can be asked for with each token.
const MaxTopLogprobs = 20

// Token is a token with the log-probabilities that the model gave: before penalties, temperature and filters.
type Token struct {
	Likely
	Offset int      // where it begins in the answer, in characters
	Top    []Likely // the likeliest tokens, the likeliest first
}

// Likely is how likely a token is.
type Likely struct {
	ID      int
	Bytes   []byte // the text it stands for, possibly part of a character; nil for a control piece
	Piece   string // how the vocabulary spells it
	Logprob float64
}

// Token returns what logits [vocab] say of the token id, and of the likeliest tokens: top of them, at most MaxTopLogprobs. With
// possible, these are only tokens that an answer may hold.
func (e *Engine) Token(logits []float32, id, top int, possible bool) Token {
	t := e.Tokenizer
	best := float64(logits[sample.Argmax(logits)])
	sum := 0.0
	for _, v := range logits {
		sum += math.Exp(float64(v) - best)
	}
	norm := best + math.Log(sum)
	likely := func(id int) Likely {
		return Likely{id, t.Bytes(id), t.Piece(id), float64(logits[id]) - norm}
	}
	token := Token{Likely: likely(id)}
	skip := func(id int) bool { return possible && slices.Contains(e.NeverSampled(), id) }
	for _, id := range likeliest(logits, min(top, MaxTopLogprobs), skip) {
		token.Top = append(token.Top, likely(id))
	}
	return token
}

// likeliest returns the ids of the n highest logits, without those to skip, the highest first; of equal logits the lower id comes
// first.
func likeliest(logits []float32, n int, skip func(id int) bool) []int {
	top := make([]int, 0, n+1)
	for id, v := range logits {
		if n == 0 || len(top) == n && v <= logits[top[n-1]] || skip(id) {
			continue
		}
		top = append(top, id)
		for i := len(top) - 1; i > 0 && logits[top[i-1]] < v; i-- {
			top[i-1], top[i] = top[i], top[i-1]
		}
		top = top[:min(n, len(top))]
	}
	return top
}
