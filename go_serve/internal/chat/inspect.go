package chat

import (
	"context"
	"math"

	"minitron/internal/engine"
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
	for at := c.last.prompt; at < len(c.last.ids); at++ {
		logits, err := c.sequence.Logits(ctx, c.engine.Window(c.last.ids[:at]))
		if err != nil {
			return odds, err
		}
		token := c.engine.Token(logits, c.last.ids[at], 1)
		best := token.Top[0]
		odds = append(odds, Odds{token.Piece, math.Exp(token.Logprob), best.Piece, math.Exp(best.Logprob)})
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

// Measure reads and writes so many tokens, or fewer where the context is smaller, and returns the speed. The conversation
// stays, but has to be read again.
func (c *Chat) Measure(ctx context.Context, read, write int) (engine.Speed, error) {
	if err := c.prepare(); err != nil {
		return engine.Speed{}, err
	}
	return c.sequence.Measure(ctx, read, write)
}
