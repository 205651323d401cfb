package chat

import (
	"context"
	"slices"
)

// Messages returns the remembered conversation, the system message first if there is one.
func (c *Chat) Messages() (messages []Message) {
	if c.system != "" {
		messages = append(messages, Message{"system", c.system})
	}
	for _, t := range c.turns {
		messages = append(messages, Message{"user", t.text}, Message{"assistant", c.engine.Tokenizer.Decode(t.answer)})
	}
	return messages
}

// Restore replaces the conversation by messages, as Messages returns them. After an error it is as it was before.
func (c *Chat) Restore(messages []Message) error {
	system, turns := c.system, c.turns
	if _, err := c.Resume(append(slices.Clip(messages), Message{Role: "user"})); err != nil {
		c.system, c.turns = system, turns
		return err
	}
	return nil
}

// Last returns what the person said last; ok is false when no turn is remembered.
func (c *Chat) Last() (text string, ok bool) {
	if len(c.turns) == 0 {
		return "", false
	}
	return c.turns[len(c.turns)-1].text, true
}

// Undo forgets the last turn, if there is one.
func (c *Chat) Undo() {
	c.turns = c.turns[:max(0, len(c.turns)-1)]
}

// Seed returns the seed that answers are drawn with.
func (c *Chat) Seed() uint64 { return c.seed }

// SetSeed begins drawing anew.
func (c *Chat) SetSeed(seed uint64) {
	c.seed = seed
	c.sampler.Seed(seed)
}

// SayInstead is Say in place of the last turn. Where no answer comes of it, the last turn stays.
func (c *Chat) SayInstead(ctx context.Context, text string, onText func(string)) (Answer, error) {
	turns := c.turns
	c.Undo()
	answer, err := c.Say(ctx, text, onText)
	if err != nil || answer.Stopped == StopInterrupted && len(answer.IDs) == 0 {
		c.turns = turns
	}
	return answer, err
}
