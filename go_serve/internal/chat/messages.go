package chat

import (
	"slices"
	"strings"

	"minitron/internal/fault"
)

// Message is one message of a dialogue.
type Message struct {
	Role    string `json:"role"` // "system", "user" or "assistant"
	Content string `json:"content"`
}

// Messages returns the whole conversation, the system message first if there is one.
func (c *Chat) Messages() (messages []Message) {
	if c.system != "" {
		messages = append(messages, Message{"system", c.system})
	}
	for _, t := range c.turns {
		messages = append(messages, Message{"user", t.text}, Message{"assistant", c.engine.Tokenizer.Decode(t.answer)})
	}
	return messages
}

// Restore replaces the conversation by messages, as Messages returns them; the last one is an answer. After an error it is
// as it was before.
func (c *Chat) Restore(messages []Message) error {
	system, texts, err := arrange(messages)
	if err == nil && len(texts)%2 != 0 {
		err = fault.New("", "the last message must be the assistant's")
	}
	if err == nil {
		c.replace(system, texts)
	}
	return err
}

// Resume replaces the conversation by all messages but the last one and returns the text of that, for Say. It must be a
// user's. For the order of the others see arrange. A model that continues text has no use for a system message.
func (c *Chat) Resume(messages []Message) (last string, err error) {
	system, texts, err := arrange(messages)
	if err == nil && len(texts)%2 == 0 {
		err = fault.New("", "the last message must be a user's")
	}
	if err != nil {
		return "", err
	}
	c.replace(system, texts[:len(texts)-1])
	return texts[len(texts)-1], nil
}

// arrange takes a dialogue apart as the template wants it: the system message, and the texts of user and assistant in turn,
// a user's first. What clients send otherwise finds its place: several messages of one role in a row are one of several
// lines, and so are system messages, which stand first wherever they came; a dialogue that the assistant begins is its
// answer to an empty message.
func arrange(messages []Message) (system string, texts []string, err error) {
	var systems []string
	for _, m := range messages {
		speaker := slices.Index([]string{"user", "assistant"}, m.Role)
		switch {
		case m.Role == "system":
			systems = append(systems, m.Content)
		case speaker < 0:
			return "", nil, fault.New("", "there is no role %q: it must be system, user or assistant", m.Role)
		case len(texts)%2 == speaker:
			texts = append(texts, m.Content)
		case len(texts) == 0:
			texts = []string{"", m.Content}
		default:
			texts[len(texts)-1] = Lines(texts[len(texts)-1], m.Content)
		}
	}
	return Lines(systems...), texts, nil
}

// Lines joins the texts that are not empty, each a line.
func Lines(texts ...string) string {
	return strings.Join(slices.DeleteFunc(texts, func(text string) bool { return text == "" }), "\n")
}

// replace replaces the conversation by texts of user and assistant in turn.
func (c *Chat) replace(system string, texts []string) {
	if c.ContinuesText() {
		system = ""
	}
	var turns []turn
	for pair := range slices.Chunk(texts, 2) {
		turns = append(turns, turn{c.encode(pair[0]), c.encode(pair[1]), pair[0]})
	}
	c.system = system
	c.setTurns(turns)
}
