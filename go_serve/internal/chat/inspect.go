package chat

import (
	"context"
	"math"
	"time"

	"minitron/internal/sample"
)

// Odds says how probable a token of an answer was: what the model gave it, before temperature and filters.
type Odds struct {
	Token           string // as the vocabulary spells it
	Probability     float64
	Best            string // the likeliest token
	BestProbability float64
}

// Odds returns the odds of the tokens that were written last, none where the conversation's last turn was not written here
// and now: after Undo, Reset and Restore. They are computed only now, by reading the answer once more: nothing is slower for
// those who do not ask.
func (c *Chat) Odds(ctx context.Context) (odds []Odds, err error) {
	piece := c.engine.Tokenizer.Piece
	for at := c.last.prompt; at < len(c.last.ids); at++ {
		logits, err := c.sequence.Logits(ctx, c.engine.Window(c.last.ids[:at]))
		if err != nil {
			return odds, err
		}
		id, best := c.last.ids[at], sample.Argmax(logits)
		sum := 0.0
		for _, v := range logits {
			sum += math.Exp(float64(v - logits[best]))
		}
		odds = append(odds, Odds{piece(id), math.Exp(float64(logits[id]-logits[best])) / sum, piece(best), 1 / sum})
	}
	return odds, nil
}

// Pieces returns the tokens of a text, as the vocabulary spells them.
func (c *Chat) Pieces(text string) (pieces []string) {
	for _, id := range c.engine.Tokenizer.Encode(text) {
		pieces = append(pieces, c.engine.Tokenizer.Piece(id))
	}
	return pieces
}

// Speed is how fast a model reads and writes here.
type Speed struct {
	Read, Written       int     // tokens
	ReadTPS, WrittenTPS float64 // per second
	Threads             int
}

// Measure reads and writes so many tokens, or fewer where the context is smaller, and returns the speed. The conversation
// stays, but has to be read again.
func (c *Chat) Measure(ctx context.Context, read, write int) (Speed, error) {
	if err := c.prepare(); err != nil {
		return Speed{}, err
	}
	context := c.engine.Config.Model.Context
	write = min(write, context/2)
	read = min(read, context-write)
	ids := make([]int, read, read+write)
	for i := range ids {
		ids[i] = i % c.engine.Tokenizer.Size()
	}
	c.sequence.Reset()
	began := time.Now()
	logits, err := c.sequence.Logits(ctx, ids)
	reading := time.Since(began)
	began = time.Now()
	for n := 0; n < write && err == nil; n++ {
		ids = append(ids, sample.Argmax(logits))
		logits, err = c.sequence.Logits(ctx, ids)
	}
	writing := time.Since(began)
	return Speed{
		Read: read, ReadTPS: float64(read) / reading.Seconds(),
		Written: write, WrittenTPS: float64(write) / writing.Seconds(),
		Threads: c.engine.Threads(),
	}, err
}
