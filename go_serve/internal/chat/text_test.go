package chat

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"minitron/internal/bundle"
	"minitron/internal/engine"
	"minitron/internal/sample"
)

// tinyText is tiny as a model that continues text.
func tinyText(t testing.TB) *engine.Engine {
	e := tiny(t)
	e.Config.Template = bundle.RawText
	return e
}

func newText(t testing.TB, maxTokens int) *Chat {
	e := tinyText(t)
	s := e.Config.Sampling
	s.Temperature, s.MaxTokens = 0, maxTokens
	return New(e, "never sent", s, 1)
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
	p, err := NewPrompt(c.engine, dialogue, "", 8, false)
	if want := c.engine.Tokenizer.Encode(dialogue[3].Content); err != nil || !slices.Equal(p.IDs, want) || p.Tokens != len(want) || p.DroppedTurns != 0 {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := c.Say(context.Background(), "", nil); !errors.Is(err, ErrNoTokens) || c.Turns() != 2 {
		t.Errorf("nothing to go on from: %v", err)
	}
}

// TestTextOutgrowsTheContext writes 500 tokens with a context of 64: those that a model without a cache gives for each
// window, in one answer and in several.
func TestTextOutgrowsTheContext(t *testing.T) {
	const begin, size = "ROMEO:\n\tWhat  light", 500
	c := newText(t, size)
	parts := 0
	whole, err := c.Say(context.Background(), begin, func(string) { parts++ })
	if err != nil || whole.Stopped != engine.StopMaxTokens || len(whole.IDs) != size || parts < size/5 {
		t.Fatalf("%v, stopped by %s after %d tokens in %d parts", err, whole.Stopped, len(whole.IDs), parts)
	}
	all := c.engine.Tokenizer.Encode(begin)
	if want := len(all) + size - 64; whole.DroppedTokens < want || whole.DroppedTokens > want+32 {
		t.Errorf("%d tokens are out of sight, want %d to %d", whole.DroppedTokens, want, want+32)
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
		if a, err := c.More(context.Background(), nil); err != nil || a.Stopped == engine.StopContext && len(a.IDs) == 0 {
			if used, _ := c.Tokens(); err != nil || used < 60 || used > 65 {
				t.Errorf("the context is full at %d tokens, %v", used, err)
			}
			return
		}
	}
	t.Error("the context was never full")
}
