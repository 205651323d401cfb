package chat

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"minitron/internal/bundle"
	"minitron/internal/engine"
	"minitron/internal/fault"
)

// ErrNoTokens says that there is nothing for a text to go on from.
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

// around is how many tokens the template takes around a question, up to where its answer begins; and around a whole turn.
func (c *Chat) around() (question, whole int) {
	m := c.engine.Tokenizer.Chat()
	question = len(m.User) + len(m.Closing) + len(m.Assistant)
	return question, question + len(m.Closing)
}

// size is how many tokens a turn takes once it is answered.
func (c *Chat) size(t turn) int {
	_, whole := c.around()
	return len(t.user) + len(t.answer) + whole
}

// asking is how many tokens a turn takes while its answer is written.
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

// appendTurn adds a turn in the form of the template, up to where its answer goes on.
func (c *Chat) appendTurn(ids []int, t turn) []int {
	m := c.engine.Tokenizer.Chat()
	ids = append(append(append(ids, m.User...), t.user...), m.Closing...)
	return append(append(ids, m.Assistant...), t.answer...)
}

// head returns the ids before the first turn: what begins a dialogue, and the system message, where there is one.
func (c *Chat) head() []int {
	m := c.engine.Tokenizer.Chat()
	if c.system == "" {
		return m.Start
	}
	return slices.Concat(m.Start, m.System, c.encode(c.system), m.Closing)
}

// encode returns the ids of a message's text, of which the template may leave out the white space around it: all that
// Python's str.strip does, which the templates of imported models are written for.
func (c *Chat) encode(text string) []int {
	if c.engine.Tokenizer.Chat().Strip && !c.ContinuesText() {
		text = strings.TrimFunc(text, func(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f })
	}
	return c.engine.Tokenizer.Encode(text)
}

// reserve is how many tokens are kept free for an answer.
func (c *Chat) reserve() int {
	return max(1, min(c.Sampling.MaxTokens, c.engine.Config.Model.Longest()/4))
}

// prompt returns the ids after which the answer of t goes on, and how many of the oldest turns before it are left out so
// that they and a reserve for the answer fit into the context. The system message always stays. A text is asked for its
// continuation by itself, with nothing around it.
func (c *Chat) prompt(before []turn, t turn, reserve int) (ids []int, dropped int, err error) {
	if c.ContinuesText() {
		if len(t.user) == 0 {
			return nil, 0, ErrNoTokens
		}
		return slices.Concat(t.user, t.answer), 0, nil
	}
	ids = slices.Clone(c.head())
	room := c.engine.Config.Model.Longest() - reserve - len(ids)
	if c.asking(t) > room {
		question, _ := c.around()
		tooLong := &TooLongError{Tokens: len(t.user), Fit: room - question}
		return nil, 0, fault.New("shorten it, or say it in several messages", "%w", tooLong)
	}
	dropped = c.leftOut(before, c.asking(t), room)
	for _, earlier := range before[dropped:] {
		ids = append(c.appendTurn(ids, earlier), c.engine.Tokenizer.Chat().Closing...)
	}
	return c.appendTurn(ids, t), dropped, nil
}

// leftOut returns how many of the oldest turns the model does not see when it is asked a question of so many tokens with
// room for so many. Where a question no longer fits behind the turns, the oldest go until the others take half of the room
// at most: the following questions are then read behind what is in the cache already. It is no more than the question needs
// where that takes more than half itself, and the newest turn stays if it fits at all. This is done for each turn as it
// was asked, so that the answer depends on the turns alone and stays the same while they grow.
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

// Prompt is what asks for the answer to a dialogue.
type Prompt struct {
	IDs          []int
	Begun        int // how many of these, at the end, begin the answer
	DroppedTurns int // how many of the oldest turns were left out
	Tokens       int // of the whole dialogue
}

// NewPrompt returns what asks for an answer to messages (see Resume), or for the rest of it, where it was begun with the text
// begun. A model that continues text is given the last message alone. With trim the oldest turns go that leave no room for an
// answer of maxTokens, as in a Chat. Where something does not fit, err is a TooLongError and Tokens is known.
func NewPrompt(e *engine.Engine, messages []Message, begun string, maxTokens int, trim bool) (Prompt, error) {
	c := Chat{engine: e, Sampling: bundle.Sampling{MaxTokens: maxTokens}}
	last, err := c.Resume(messages)
	if err != nil {
		return Prompt{}, err
	}
	t, size := c.newTurn(last), e.Config.Model.Longest()
	t.answer = e.Tokenizer.Encode(begun)
	reserve := 1
	if trim {
		reserve = c.reserve()
	}
	p := Prompt{Tokens: len(c.head()) + c.total(c.turns) + c.asking(t), Begun: len(t.answer)}
	if e.ContinuesText() {
		p.Tokens = len(t.user)
	} else if !trim && p.Tokens > size-reserve {
		return p, &TooLongError{Tokens: p.Tokens, Fit: size - reserve}
	}
	p.IDs, p.DroppedTurns, err = c.prompt(c.turns, t, reserve)
	if e.ContinuesText() {
		p.Begun = len(p.IDs)
	}
	return p, err
}
