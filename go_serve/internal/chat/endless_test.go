package chat

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"minitron/internal/engine"
	"minitron/internal/testmodel"
)

// endless starts a conversation with a model whose context has no end.
func endless(t testing.TB, system string) *Chat {
	t.Helper()
	e, err := engine.New(testmodel.Stream(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	s := e.Config.Sampling
	s.Temperature, s.MaxTokens = 0, 5
	return New(e, system, s, 1)
}

func answerTo(t testing.TB, c *Chat, say func(context.Context, string, func(string)) (Answer, error), text string) Answer {
	t.Helper()
	a, err := say(context.Background(), text, nil)
	if err != nil {
		t.Fatal(err)
	}
	if a.DroppedTurns != 0 || a.DroppedTokens != 0 {
		t.Errorf("%q: %d turns and %d tokens were left out", text, a.DroppedTurns, a.DroppedTokens)
	}
	return a
}

// TestEndless talks for many times the length of a row in training, with other answers and other questions in between: each is
// what a conversation gives that has the same turns and was never anything else, and little is read twice.
func TestEndless(t *testing.T) {
	c := endless(t, "be kind")
	same := func(got Answer, turns []turn, text string) {
		t.Helper()
		fresh := endless(t, "be kind")
		fresh.turns = turns
		if want := answerTo(t, fresh, fresh.Say, text); !slices.Equal(got.IDs, want.IDs) {
			t.Errorf("%q: %v, want %v", text, got.IDs, want.IDs)
		}
	}
	for n := range 40 {
		text := fmt.Sprintf("question number %d", n)
		before := slices.Clone(c.turns)
		a := answerTo(t, c, c.Say, text)
		if read := a.Stats.PromptTokens - a.Stats.CachedTokens; n > 0 && read != len(text)+9 { // a space is three bytes
			t.Errorf("turn %d: %d tokens were read", n, read)
		}
		if n%13 != 5 {
			continue
		}
		same(a, before, text)
		again := answerTo(t, c, c.SayInstead, text)
		if read := again.Stats.PromptTokens - again.Stats.CachedTokens; read != 1 || !slices.Equal(again.IDs, a.IDs) {
			t.Errorf("turn %d again: %d tokens were read, %v after %v", n, read, again.IDs, a.IDs)
		}
		other := answerTo(t, c, c.SayInstead, "no, wait")
		same(other, before, "no, wait")
		if read := other.Stats.PromptTokens - other.Stats.CachedTokens; read > 2*len(text)+20 {
			t.Errorf("turn %d instead: %d tokens were read", n, read)
		}
		c.Undo()
		same(answerTo(t, c, c.Say, text), before, text)
	}
	used, _ := c.Tokens()
	if used < 900 || c.Turns() != 40 {
		t.Errorf("%d tokens in %d turns", used, c.Turns())
	}
	if bytes := c.MemoryBytes(); bytes == 0 || bytes > 40_000 {
		t.Errorf("%d bytes are kept of it", bytes)
	}
	if newChat(t, "", 1).MemoryBytes() != 0 {
		t.Error("a cache that grows has no size")
	}
}
