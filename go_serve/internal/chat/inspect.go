package chat

import (
	"context"
	"math"
	"slices"

	"minitron/internal/engine"
)

// Choice is a token that could be written, and how probable the model found it, before temperature and filters.
type Choice struct {
	ID          int
	Token       string // as the vocabulary spells it
	Probability float64
}

// Odds is a token of an answer with what could have been written in its place.
type Odds struct {
	Choice
	Others []Choice // the likeliest other tokens, the likeliest first
}

// others is how many other tokens Odds lists.
const others = 3

// oddsOf returns the odds of a token with at least others + 1 of the likeliest tokens that an answer may hold: one cannot branch to
// any other.
func (c *Chat) oddsOf(token engine.Token) (odds Odds) {
	choice := func(l engine.Likely) Choice { return Choice{l.ID, l.Piece, math.Exp(l.Logprob)} }
	odds.Choice = choice(token.Likely)
	for _, likely := range token.Top {
		if likely.ID != token.ID && len(odds.Others) < others {
			odds.Others = append(odds.Others, choice(likely))
		}
	}
	return odds
}

// Odds returns the odds of the tokens that were written last. There are none if the conversation's last turn was not written in
// this session, as after Undo, Reset and Restore. They are computed only when asked for, by reading the answer once more, so
// that answers are not slower for those who do not ask.
func (c *Chat) Odds(ctx context.Context) (odds []Odds, err error) {
	for at := range c.Written() {
		one, err := c.oddsAt(ctx, at)
		if err != nil {
			return odds, err
		}
		odds = append(odds, one)
	}
	return odds, nil
}

// Written returns the number of tokens that Odds reports on.
func (c *Chat) Written() int { return len(c.last.ids) - c.last.prompt }

func (c *Chat) oddsAt(ctx context.Context, at int) (Odds, error) {
	at += c.last.prompt
	logits, err := c.sequence.Logits(ctx, c.engine.Window(c.last.ids[:at]))
	if err != nil {
		return Odds{}, err
	}
	return c.oddsOf(c.engine.Token(logits, c.last.ids[at], others+1, true)), nil
}

// Branch goes back to one of the tokens that Odds reports on (at counts from 0), puts one of its Others in its place, and
// continues the answer from there. onText gets the whole answer; the Answer is what was written behind the new token. If there
// is no such token, ok is false and nothing changes.
func (c *Chat) Branch(ctx context.Context, at, other int, onText func(string)) (answer Answer, ok bool, err error) {
	if at < 0 || at >= c.Written() {
		return Answer{}, false, nil
	}
	odds, err := c.oddsAt(ctx, at)
	if err != nil || other < 0 || other >= len(odds.Others) {
		return Answer{}, false, err
	}
	before, t := c.split()
	t.answer = slices.Clone(t.answer[:len(t.answer)-c.Written()+at])
	if id := odds.Others[other].ID; id != c.engine.Tokenizer.Chat().End() {
		t.answer = append(t.answer, id)
		at++
	} else { // the answer ends here
		c.tell(t, onText)
		c.keep(before, t, c.last.ids[:c.last.prompt+at], nil, at)
		return Answer{Answer: engine.Answer{Stopped: engine.StopEnd}}, true, nil
	}
	c.tell(t, onText)
	if c.left(t) < 1 {
		c.keep(before, t, slices.Concat(c.last.ids[:c.last.prompt+at-1], t.answer[len(t.answer)-1:]), nil, at)
		return Answer{Answer: engine.Answer{Stopped: engine.StopContext}}, true, nil
	}
	prompt, answer, err := c.write(ctx, before, t, onText)
	if err != nil {
		return Answer{}, false, err
	}
	t.system = c.system
	c.keep(before, t, prompt, answer.IDs, at)
	return answer, true, nil
}

// tell passes the answer of a turn to onText, except for an incomplete character at its end.
func (c *Chat) tell(t turn, onText func(string)) {
	if onText == nil {
		return
	}
	decoder := c.engine.Tokenizer.NewDecoder()
	if c.ContinuesText() {
		for _, id := range t.user {
			decoder.Push(id)
		}
	}
	for _, id := range t.answer {
		if text := decoder.Push(id); text != "" {
			onText(text)
		}
	}
}

// Seen returns the tokens that the model saw and wrote in its last answer, as the vocabulary spells them; none if Odds has
// none.
func (c *Chat) Seen() (pieces []string) {
	for _, id := range c.engine.Window(c.last.ids) {
		pieces = append(pieces, c.engine.Tokenizer.Piece(id))
	}
	return pieces
}

// Pieces returns the tokens of a text, as the vocabulary spells them.
func (c *Chat) Pieces(text string) (pieces []string) {
	for _, id := range c.engine.Tokenizer.Encode(text) {
		pieces = append(pieces, c.engine.Tokenizer.Piece(id))
	}
	return pieces
}

// Measure reads and writes the given numbers of tokens, or fewer if the context is smaller, and returns the speed. The
// conversation stays, but the model has to read it again.
func (c *Chat) Measure(ctx context.Context, read, write int) (engine.Speed, error) {
	if err := c.prepare(); err != nil {
		return engine.Speed{}, err
	}
	return c.sequence.Measure(ctx, read, write)
}
