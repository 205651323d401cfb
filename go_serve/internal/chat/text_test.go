package chat

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"minitron/internal/bundle"
	"minitron/internal/sample"
)

// textEngine is engine as a model that continues text.
func textEngine(t testing.TB) *Engine {
	e := engine(t)
	e.Config.Template = bundle.RawText
	return e
}

func newText(t testing.TB, maxTokens int) *Chat {
	e := textEngine(t)
	s := e.Config.Sampling
	s.Temperature, s.MaxTokens = 0, maxTokens
	return e.New("never sent", s, 1)
}

// TestTextPrompt holds that the ids are those of the text alone, of whatever was said before.
func TestTextPrompt(t *testing.T) {
	c := newText(t, 4)
	say(t, c, "hi")
	if a := say(t, c, "ok"); a.Stats.PromptTokens != 2 || !slices.Equal(c.last.ids, slices.Concat(ids("ok"), a.IDs)) {
		t.Errorf("%d prompt tokens, %v", a.Stats.PromptTokens, c.last.ids)
	}
	if c.System() != "" || c.Turns() != 2 {
		t.Errorf("system message %q, %d turns", c.System(), c.Turns())
	}
	if used, size := c.Tokens(); used != 6 || size != 64 {
		t.Errorf("%d of %d tokens, want 6 of 64", used, size)
	}
	dialogue := []Message{{"system", "be"}, {"user", "a"}, {"assistant", "b"}, {"user", strings.Repeat("c\n ", 40)}}
	p, err := c.engine.Prompt(dialogue, "", 8, false)
	if want := c.engine.Tokenizer.Encode(dialogue[3].Content); err != nil || !slices.Equal(p.IDs, want) || p.Tokens != len(want) || p.DroppedTurns != 0 {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := c.Say(context.Background(), "", nil); !errors.Is(err, ErrNoTokens) || c.Turns() != 2 {
		t.Errorf("nothing to go on from: %v", err)
	}
}

// TestWindow compares with the rule in the plainest way: ids come one by one, and what is more than the context loses half
// of one at its begin.
func TestWindow(t *testing.T) {
	e := textEngine(t)
	for _, size := range []int{2, 3, 4, 5, 64} {
		e.Config.Model.Context = size
		var all, window []int
		for id := range 5 * size {
			all, window = append(all, id), append(window, id)
			if len(window) > size {
				window = window[size/2:]
			}
			if got := e.Window(all); !slices.Equal(got, window) {
				t.Fatalf("context %d, %d ids: %v, want %v", size, len(all), got, window)
			}
		}
		e.Config.Template = bundle.ChatML
		if got := e.Window(all); !slices.Equal(got, all) {
			t.Errorf("a dialogue lost %d ids", len(all)-len(got))
		}
		e.Config.Template = bundle.RawText
	}
}

// TestTextOutgrowsTheContext writes 500 tokens with a context of 64: those that a model without a cache gives for each
// window, in one answer and in several.
func TestTextOutgrowsTheContext(t *testing.T) {
	const begin, size = "ROMEO:\n\tWhat  light", 500
	c := newText(t, size)
	parts := 0
	whole, err := c.Say(context.Background(), begin, func(string) { parts++ })
	if err != nil || whole.Stopped != StopMaxTokens || len(whole.IDs) != size || parts < size/5 {
		t.Fatalf("%v, stopped by %s after %d tokens in %d parts", err, whole.Stopped, len(whole.IDs), parts)
	}
	all := c.engine.Tokenizer.Encode(begin)
	if want := len(all) + size - 64; whole.OutOfSight < want || whole.OutOfSight > want+32 {
		t.Errorf("%d tokens are out of sight, want %d to %d", whole.OutOfSight, want, want+32)
	}
	for step, want := range whole.IDs {
		if step%7 != 0 { // as good as all, and quicker
			all = append(all, want)
			continue
		}
		q, _ := c.engine.NewSequence()
		logits, err := q.Logits(context.Background(), c.engine.Window(all))
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range c.engine.NeverSampled() {
			logits[id] = -1e9
		}
		if got := sample.Argmax(logits); got != want {
			t.Fatalf("token %d is %d, want %d", step, want, got)
		}
		all = append(all, want)
	}
	odds, err := c.Odds(context.Background())
	if err != nil || len(odds) != size {
		t.Errorf("odds of %d tokens, %v", len(odds), err)
	}

	c = newText(t, 90)
	got := say(t, c, begin).IDs
	for range 5 {
		a, err := c.More(context.Background(), nil)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, a.IDs...)
	}
	if !slices.Equal(got[:size], whole.IDs) {
		t.Error("in several parts the text is another one")
	}
	if messages := c.Messages(); len(messages) != 2 || messages[0].Content != begin || messages[1].Content != c.engine.Tokenizer.Decode(got) {
		t.Errorf("%q", messages)
	}
	if used, _ := c.Tokens(); used < 32 || used > 64 {
		t.Errorf("the model sees %d tokens", used)
	}
}

// TestMoreOfAnAnswer lets an answer to a message go on, up to the end of the context.
func TestMoreOfAnAnswer(t *testing.T) {
	const size = 40
	whole := say(t, newChat(t, "be", size), "hello")
	c := newChat(t, "be", 8)
	got := say(t, c, "hello").IDs
	for len(got) < size {
		a, err := c.More(context.Background(), nil)
		if err != nil || len(a.IDs) == 0 {
			t.Fatalf("%d tokens, stopped by %s, %v", len(got), a.Stopped, err)
		}
		got = append(got, a.IDs...)
	}
	if !slices.Equal(got, whole.IDs) {
		t.Error("in several parts the answer is another one")
	}
	if c.Turns() != 1 || c.Messages()[2].Content != c.engine.Tokenizer.Decode(got) {
		t.Errorf("%d turns, %q", c.Turns(), c.Messages())
	}
	for range 20 {
		if a, err := c.More(context.Background(), nil); err != nil || a.Stopped == StopContext && len(a.IDs) == 0 {
			if used, _ := c.Tokens(); err != nil || used < 60 || used > 65 {
				t.Errorf("the context is full at %d tokens, %v", used, err)
			}
			return
		}
	}
	t.Error("the context was never full")
}

// TestWriterGoesOn holds that what continues a text is decoded as its middle.
func TestWriterGoesOn(t *testing.T) {
	for _, e := range templates(t, 64) { // bytes; chat; nmt_nfkc, which takes a first space for its own
		text := "the cat  sat on a mat, и кот тоже"
		all := e.Tokenizer.Encode(text)
		want := e.Tokenizer.Decode(all)
		for at := range all {
			var said strings.Builder
			w := newWriter(e.Tokenizer, Request{Before: all[:at]}, func(p Part) error {
				said.WriteString(p.Text)
				return nil
			})
			for _, id := range all[at:] {
				w.push(id, nil)
			}
			w.finish()
			if !strings.HasSuffix(want, said.String()) || len(said.String()) < len(want)-len(e.Tokenizer.Decode(all[:at])) {
				t.Errorf("after %q comes %q", e.Tokenizer.Decode(all[:at]), said.String())
			}
		}
	}
}
