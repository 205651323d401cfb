package chat

import (
	"fmt"
	"slices"

	"minitron/internal/bundle"
	"minitron/internal/fault"
)

// Message is one message of a dialogue.
type Message struct {
	Role    string `json:"role"` // "system", "user" or "assistant"
	Content string `json:"content"`
}

// ErrNoTokens says that there is nothing for a text to go on from.
var ErrNoTokens = fault.New("give it something to go on from", "the text has no tokens")

// TooLongError says that a message does not fit into the context even when all else is forgotten.
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

func (t turn) size() int { return len(t.user) + len(t.answer) + 4 } // four markers

// appendTurn adds a turn in the form of the template: marker, content, end marker, for each message.
func (c *Chat) appendTurn(ids []int, t turn) []int {
	marker := c.engine.Tokenizer.Chat()
	ids = append(append(append(ids, marker.User), t.user...), marker.End)
	return append(append(append(ids, marker.Assistant), t.answer...), marker.End)
}

// systemIDs returns the ids of the system message, none when it is empty.
func (c *Chat) systemIDs() []int {
	if c.system == "" {
		return nil
	}
	marker := c.engine.Tokenizer.Chat()
	ids := append([]int{marker.System}, c.engine.Tokenizer.Encode(c.system)...)
	return append(ids, marker.End)
}

// reserve is how many tokens are kept free for an answer.
func (c *Chat) reserve() int {
	return max(1, min(c.Sampling.MaxTokens, c.engine.Config.Model.Context/4))
}

const markers = 3 // of a question: user, end, assistant

// prompt returns the ids that ask for an answer to user, and how many of the oldest turns have to be left out so that
// they and a reserve for the answer fit into the context. The system message always stays. A text is asked for its
// continuation by itself, with nothing around it.
func (c *Chat) prompt(user []int, reserve int) (ids []int, dropped int, err error) {
	if c.ContinuesText() {
		if len(user) == 0 {
			return nil, 0, ErrNoTokens
		}
		return slices.Clone(user), 0, nil
	}
	ids = c.systemIDs()
	room := c.engine.Config.Model.Context - reserve - len(ids) - markers
	if len(user) > room {
		tooLong := &TooLongError{Tokens: len(user), Fit: room}
		return nil, 0, fault.New("shorten it, or say it in several messages", "%w", tooLong)
	}
	room -= len(user)
	dropped = len(c.turns)
	for dropped > 0 && c.turns[dropped-1].size() <= room {
		dropped--
		room -= c.turns[dropped].size()
	}
	for _, t := range c.turns[dropped:] {
		ids = c.appendTurn(ids, t)
	}
	marker := c.engine.Tokenizer.Chat()
	ids = append(append(append(ids, marker.User), user...), marker.End)
	return append(ids, marker.Assistant), dropped, nil
}

// Prompt is what asks for the answer to a dialogue.
type Prompt struct {
	IDs          []int
	Begun        int // how many of these, at the end, begin the answer
	DroppedTurns int // how many of the oldest turns were left out
	Tokens       int // of the whole dialogue
}

// Prompt returns what asks for an answer to messages (see Resume), or for the rest of it, where it was begun with the text
// begun. A model that continues text is given the last message alone. With trim the oldest turns go that leave no room for an
// answer of maxTokens, as in a Chat. Where something does not fit, err is a TooLongError and Tokens is known.
func (e *Engine) Prompt(messages []Message, begun string, maxTokens int, trim bool) (Prompt, error) {
	c := Chat{engine: e, Sampling: bundle.Sampling{MaxTokens: maxTokens}}
	last, err := c.Resume(messages)
	if err != nil {
		return Prompt{}, err
	}
	user := e.Tokenizer.Encode(last)
	answer := e.Tokenizer.Encode(begun)
	used, context := c.Tokens()
	p := Prompt{Tokens: used + len(user) + markers + len(answer)}
	if e.ContinuesText() {
		p.Tokens = len(user)
	}
	reserve := 1
	if trim {
		reserve = c.reserve()
	}
	p.IDs, p.DroppedTurns, err = c.prompt(user, reserve+len(answer))
	p.IDs, p.Begun = append(p.IDs, answer...), len(answer)
	if e.ContinuesText() {
		p.Begun = len(p.IDs)
	}
	if err == nil && !trim && p.DroppedTurns > 0 {
		err = &TooLongError{Tokens: p.Tokens, Fit: context - reserve}
	}
	return p, err
}

// Resume replaces the conversation by messages and returns the last one's text, for Say: an optional system message,
// then user and assistant in turn, a user's message last. A model that continues text has no use for a system message.
func (c *Chat) Resume(messages []Message) (last string, err error) {
	c.system, c.turns = "", nil
	if len(messages) > 0 && messages[0].Role == "system" {
		if !c.ContinuesText() {
			c.system = messages[0].Content
		}
		messages = messages[1:]
	}
	if len(messages)%2 == 0 {
		return "", orderError()
	}
	for i, m := range messages {
		if want := [2]string{"user", "assistant"}[i%2]; m.Role != want {
			return "", orderError()
		}
		if i%2 == 1 {
			encode := c.engine.Tokenizer.Encode
			c.turns = append(c.turns, turn{encode(messages[i-1].Content), encode(m.Content), messages[i-1].Content})
		}
	}
	return messages[len(messages)-1].Content, nil
}

func orderError() error {
	return fault.New("", "the messages must be: system (if any), then user and assistant in turn, a user's message last")
}
