package engine

import (
	"strings"
	"unicode/utf8"

	"minitron/internal/tokenizer"
)

// writer turns chosen ids into the parts of an answer. It holds back text that may begin a stop sequence.
type writer struct {
	engine  *Engine
	decoder *tokenizer.Decoder
	request Request
	on      func(Part) error

	said    strings.Builder // the text that on was given
	pending string          // the text that on was not given yet
	tokens  []Token         // the tokens of pending
	starts  []int           // where these tokens begin in the answer, in bytes

	characters int // of said and pending
}

func newWriter(e *Engine, r Request, on func(Part) error) *writer {
	w := &writer{engine: e, decoder: e.Tokenizer.NewDecoder(), request: r, on: on}
	for _, id := range r.Before { // what comes before matters: only at the start of a text is a space dropped, and a token may complete a character
		w.decoder.Push(id)
	}
	return w
}

// push adds a token, id, that was chosen from logits, and reports whether a stop sequence is complete.
func (w *writer) push(id int, logits []float32) (found bool, err error) {
	if w.request.Logprobs {
		token := w.engine.Token(logits, id, w.request.TopLogprobs, w.request.TopPossible)
		token.Offset = w.characters
		w.tokens = append(w.tokens, token)
		w.starts = append(w.starts, w.said.Len()+len(w.pending))
	}
	return w.grow(w.decoder.Push(id))
}

// grow adds text, and passes on what can no longer be part of a stop sequence.
func (w *writer) grow(text string) (found bool, err error) {
	if text == "" {
		return false, nil
	}
	w.pending += text
	w.characters += utf8.RuneCountInString(text)
	if at := findStop(w.pending, w.request.Stops); at >= 0 {
		return true, w.say(at, false)
	}
	return false, w.say(len(w.pending)-heldBack(w.pending, w.request.Stops), false)
}

// finish passes on what was held back.
func (w *writer) finish() (found bool, err error) {
	if found, err = w.grow(w.decoder.Flush()); found || err != nil {
		return found, err
	}
	return false, w.say(len(w.pending), true)
}

// say passes the first bytes of pending to on, with the tokens that begin in them; if last, with all tokens.
func (w *writer) say(bytes int, last bool) error {
	part := Part{Text: w.pending[:bytes]}
	w.said.WriteString(part.Text)
	w.pending = w.pending[bytes:]
	n := 0
	for n < len(w.tokens) && (last || w.starts[n] < w.said.Len()) {
		n++
	}
	part.Tokens, w.tokens, w.starts = w.tokens[:n:n], w.tokens[n:], w.starts[n:]
	if w.on == nil || part.Text == "" && n == 0 {
		return nil
	}
	return w.on(part)
}
