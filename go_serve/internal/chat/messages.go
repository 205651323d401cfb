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
func (c *Chat) Messages() []Message { return c.under(c.system) }

// Asked returns the messages that the last answer was given to: the same without that answer, and with the system message as it
// was then. There must be a turn.
func (c *Chat) Asked() []Message {
	_, last := c.split()
	messages := c.under(last.system)
	return messages[:len(messages)-1]
}

func (c *Chat) under(system string) (messages []Message) {
	if system != "" {
		messages = append(messages, Message{"system", system})
	}
	for _, t := range c.turns {
		messages = append(messages, Message{"user", t.text}, Message{"assistant", c.engine.Tokenizer.Decode(t.answer)})
	}
	return messages
}

// Restore replaces the conversation by messages in the form that Messages returns; the last one must be an answer. After an
// error the conversation is unchanged.
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

// Resume replaces the conversation by all messages but the last one, which must be a user's, and returns the text of the last
// one, for Say. For the order of the others see arrange. With a model that continues text the system message is dropped.
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

// arrange takes a dialogue apart as the template needs it: the system message, and the texts of user and assistant in turn, a
// user's first. Dialogues in another order are brought into this one: messages of one role in a row become one message of
// several lines; so do system messages, which come first wherever they stood; if the assistant begins, its message is the
// answer to an empty one.
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
		turns = append(turns, turn{c.encode(pair[0]), c.encode(pair[1]), pair[0], system})
	}
	c.system = system
	c.setTurns(turns)
}
