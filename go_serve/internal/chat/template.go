package chat

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"

	"minitron/internal/bundle"
	"minitron/internal/engine"
	"minitron/internal/fault"
)

// ErrNoTokens says that a text has no tokens, so that there is nothing to continue.
var ErrNoTokens = fault.New("give it something to go on from", "the text has no tokens")

// TooLongError says that a message does not fit into the context even when all else is left out.
type TooLongError struct {
	Tokens int // of the message
	Fit    int // how many would fit; below 1 the system message alone takes all the room
}

func (e *TooLongError) Error() string {
	if e.Fit < 1 {
		return "the system message leaves no room for a message in the context of this model"
	}
	return fmt.Sprintf("the message is too long: it has %d tokens, %d fit", e.Tokens, e.Fit)
}

// around returns how many tokens the template adds to a question, up to where its answer begins, and how many to a whole turn.
func (c *Chat) around() (question, whole int) {
	m := c.engine.Tokenizer.Chat()
	question = len(m.User) + len(m.Closing) + len(m.Assistant)
	return question, question + len(m.Closing)
}

// size returns how many tokens a turn takes once it is answered.
func (c *Chat) size(t turn) int {
	_, whole := c.around()
	return len(t.user) + len(t.answer) + whole
}

// asking returns how many tokens a turn takes while its answer is written.
func (c *Chat) asking(t turn) int {
	question, _ := c.around()
	return len(t.user) + len(t.answer) + question
}

func (c *Chat) total(turns []turn) (sum int) {
	for _, t := range turns {
		sum += c.size(t)
	}
	return sum
}

// appendTurn appends a turn in the form of the template, up to where its answer goes on.
func (c *Chat) appendTurn(ids []int, t turn) []int {
	m := c.engine.Tokenizer.Chat()
	ids = append(append(append(ids, m.User...), t.user...), m.Closing...)
	return append(append(ids, m.Assistant...), t.answer...)
}

// head returns the ids before the first turn: those that begin a dialogue, and the system message if there is one.
func (c *Chat) head() []int {
	m := c.engine.Tokenizer.Chat()
	if c.system == "" {
		return m.Start
	}
	return slices.Concat(m.Start, m.System, c.encode(c.system), m.Closing)
}

// encode returns the ids of a message's text. If the template says so, the white space around the text is left out: the
// characters that Python's str.strip removes, as the templates of imported models are written for that.
func (c *Chat) encode(text string) []int {
	if c.engine.Tokenizer.Chat().Strip && !c.ContinuesText() {
		text = strings.TrimFunc(text, func(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f })
	}
	return c.engine.Tokenizer.Encode(text)
}

// left returns how many tokens a turn leaves for what is still to be written of its answer when all earlier turns are left out;
// below 1 if the context is full. A text that is continued has no end.
func (c *Chat) left(t turn) int {
	if c.ContinuesText() {
		return math.MaxInt
	}
	return c.engine.Config.Model.Longest() - len(c.head()) - c.asking(t)
}

// reserve returns how many tokens are kept free for what is still to be written of a turn's answer: as many as it may have, but
// no more than a quarter of the context, nor than the turn leaves.
func (c *Chat) reserve(t turn) int {
	return max(1, min(c.Sampling.MaxTokens, c.engine.Config.Model.Longest()/4, c.left(t)))
}

// prompt returns the ids after which the answer of t goes on, and how many of the oldest turns in before are left out so that
// the rest and the answer fit into the context. The system message always stays. For a model that continues text the ids are
// those of the text alone. The error is ErrNoTokens, or wraps a TooLongError.
func (c *Chat) prompt(before []turn, t turn) (ids []int, dropped int, err error) {
	if c.ContinuesText() {
		if len(t.user) == 0 {
			return nil, 0, ErrNoTokens
		}
		return slices.Concat(t.user, t.answer), 0, nil
	}
	head := c.head()
	room := c.engine.Config.Model.Longest() - c.reserve(t) - len(head)
	if c.asking(t) > room {
		question, _ := c.around()
		tooLong := &TooLongError{Tokens: len(t.user), Fit: room - question}
		hint := "shorten it, or say it in several messages"
		if tooLong.Fit < 1 {
			hint = "shorten the system message, or leave it out"
		}
		return nil, 0, fault.New(hint, "%w", tooLong)
	}
	dropped = c.leftOut(before, c.asking(t), room)
	ids = make([]int, 0, len(head)+c.total(before[dropped:])+c.asking(t))
	ids = append(ids, head...)
	for _, earlier := range before[dropped:] {
		ids = append(c.appendTurn(ids, earlier), c.engine.Tokenizer.Chat().Closing...)
	}
	return c.appendTurn(ids, t), dropped, nil
}

// leftOut returns how many of the oldest turns the model does not see when it is asked a question of that many tokens with that
// much room. If a question no longer fits behind the turns, the oldest are dropped until the others take at most half of the
// room, so that the model can read the following questions behind what its cache holds. If the question itself takes more than
// half, only as many are dropped as it needs. The newest turn stays if it fits at all. This rule is applied to each turn as it
// was asked, so that the result depends on the turns alone and stays the same while they grow.
func (c *Chat) leftOut(turns []turn, question, room int) (first int) {
	markers, _ := c.around()
	seen := 0 // tokens of turns[first:i]
	for i := 0; i <= len(turns); i++ {
		asked := question
		if i < len(turns) {
			asked = len(turns[i].user) + markers
		}
		free := room - asked
		if seen > free {
			kept := min(room/2, free)
			for first < i && (seen > free || seen > kept && first < i-1) {
				seen -= c.size(turns[first])
				first++
			}
		}
		if i < len(turns) {
			seen += c.size(turns[i])
		}
	}
	return first
}

// Prompt is what the model reads before it answers a dialogue.
type Prompt struct {
	IDs          []int
	Begun        int // how many of these, at the end, begin the answer
	DroppedTurns int // how many of the oldest turns were left out
	Tokens       int // of the whole dialogue
}

// NewPrompt returns the prompt for an answer to messages (see Resume); if the answer has begun already, with the text begun,
// for the rest of it. A model that continues text is given the last message alone. With trim, the oldest turns that leave no
// room for an answer of maxTokens are dropped, as in a Chat; without, a token of it is room enough. If something does not fit,
// err is or wraps a TooLongError, and Tokens is set.
func NewPrompt(e *engine.Engine, messages []Message, begun string, maxTokens int, trim bool) (Prompt, error) {
	if !trim {
		maxTokens = 1
	}
	c := Chat{engine: e, Sampling: bundle.Sampling{MaxTokens: maxTokens}}
	last, err := c.Resume(messages)
	if err != nil {
		return Prompt{}, err
	}
	t, size := c.newTurn(last), e.Config.Model.Longest()
	t.answer = e.Tokenizer.Encode(begun)
	p := Prompt{Tokens: len(c.head()) + c.total(c.turns) + c.asking(t), Begun: len(t.answer)}
	if e.ContinuesText() {
		p.Tokens = len(t.user)
	} else if !trim && p.Tokens >= size {
		return p, &TooLongError{Tokens: p.Tokens, Fit: size - 1}
	}
	p.IDs, p.DroppedTurns, err = c.prompt(c.turns, t)
	if e.ContinuesText() {
		p.Begun = len(p.IDs)
	}
	return p, err
}
