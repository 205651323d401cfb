package chat

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"minitron/internal/engine"
	"minitron/internal/sample"
)

func say(t *testing.T, c *Chat, text string) Answer {
	t.Helper()
	a, err := c.Say(context.Background(), text, nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestMessagesAndRestore(t *testing.T) {
	c := newChat(t, "be", 4)
	first, second := say(t, c, "hi"), say(t, c, "ok")
	want := []Message{{"system", "be"}, {"user", "hi"}, {"assistant", first.Text}, {"user", "ok"}, {"assistant", second.Text}}
	if got := c.Messages(); !slices.Equal(got, want) {
		t.Errorf("messages %q, want %q", got, want)
	}
	messages := []Message{{"user", "a"}, {"assistant", "b"}}
	if err := c.Restore(messages); err != nil || !slices.Equal(c.Messages(), messages) || c.System() != "" {
		t.Errorf("restored: %q, %v", c.Messages(), err)
	}
	for _, wrong := range [][]Message{messages[:1], {messages[0], messages[1], messages[0]}, {{"tool", "a"}, {"assistant", "b"}}} {
		if err := c.Restore(wrong); err == nil || !slices.Equal(c.Messages(), messages) {
			t.Errorf("%q: %v, then %q", wrong, err, c.Messages())
		}
	}
	if err := c.Restore(messages[1:]); err != nil || !slices.Equal(c.Messages(), said("user", "", "assistant", "b")) {
		t.Errorf("a greeting: %q, %v", c.Messages(), err)
	}
	if err := c.Restore(nil); err != nil || c.Turns() != 0 {
		t.Errorf("nothing: %v, %d turns", err, c.Turns())
	}
}

func TestUndoAndSayInstead(t *testing.T) {
	c := newChat(t, "", 4)
	if _, ok := c.Last(); ok {
		t.Error("there is a last message before the first")
	}
	c.Undo()
	first := say(t, c, "hi")
	say(t, c, "ok")
	if last, ok := c.Last(); !ok || last != "ok" {
		t.Errorf("last %q", last)
	}
	c.Undo()
	if last, _ := c.Last(); last != "hi" || c.Turns() != 1 {
		t.Errorf("after undo: %q, %d turns", last, c.Turns())
	}
	again, err := c.SayInstead(context.Background(), "hi", nil)
	if err != nil || again.Text != first.Text || c.Turns() != 1 {
		t.Errorf("again: %q, %v, want %q", again.Text, err, first.Text)
	}
	before := c.Messages()
	stopped, stop := context.WithCancel(context.Background())
	stop()
	if a, err := c.SayInstead(stopped, "other", nil); err != nil || a.Stopped != engine.StopInterrupted || !slices.Equal(c.Messages(), before) {
		t.Errorf("stopped before the first token: %v, %q", err, c.Messages())
	}
	if _, err := c.SayInstead(context.Background(), strings.Repeat("x", 100), nil); err == nil || !slices.Equal(c.Messages(), before) {
		t.Errorf("too long: %v, %q", err, c.Messages())
	}
}

func TestSeed(t *testing.T) {
	c := newChat(t, "", 20)
	c.Sampling.Temperature, c.Sampling.TopK, c.Sampling.TopP = 2, 0, 1
	c.SetSeed(7)
	first := say(t, c, "hi")
	second, _ := c.SayInstead(context.Background(), "hi", nil)
	c.SetSeed(7)
	again, _ := c.SayInstead(context.Background(), "hi", nil)
	if c.Seed() != 7 || again.Text != first.Text || second.Text == first.Text {
		t.Errorf("seed %d: %q, %q, again %q", c.Seed(), first.Text, second.Text, again.Text)
	}
}

func TestOdds(t *testing.T) {
	c := newChat(t, "", 8)
	if odds, err := c.Odds(context.Background()); len(odds) != 0 || err != nil {
		t.Errorf("before an answer: %v, %v", odds, err)
	}
	a := say(t, c, "hello")
	odds, err := c.Odds(context.Background())
	if err != nil || len(odds) != len(a.IDs) {
		t.Fatalf("%d odds of %d tokens, %v", len(odds), len(a.IDs), err)
	}
	// The first by hand: softmax over all of the vocabulary.
	prompt := ids(2, "hello", 4, 3)
	logits, err := c.sequence.Logits(context.Background(), prompt)
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, v := range logits {
		sum += math.Exp(float64(v))
	}
	if want := math.Exp(float64(logits[a.IDs[0]])) / sum; math.Abs(odds[0].Probability-want) > 1e-6*want {
		t.Errorf("probability %v, want %v", odds[0].Probability, want)
	}
	for i, o := range odds {
		if o.Probability <= 0 || o.ID != a.IDs[i] || o.Token != c.engine.Tokenizer.Piece(a.IDs[i]) || len(o.Others) != 3 {
			t.Errorf("%d: %+v", i, o)
		}
		sum := o.Probability
		for n, other := range o.Others { // the answer is the likeliest: each is less likely than the one before it
			if before := append([]Choice{o.Choice}, o.Others...)[n]; other.Probability > before.Probability || other.ID == o.ID {
				t.Errorf("%d: %+v", i, o)
			}
			if slices.Contains(c.engine.NeverSampled(), other.ID) {
				t.Errorf("%d: no answer may hold %q", i, other.Token)
			}
			sum += other.Probability
		}
		if sum > 1 {
			t.Errorf("%d: probabilities sum to %v", i, sum)
		}
	}
	if next := say(t, c, "again"); next.Stats.CachedTokens < len(prompt) {
		t.Errorf("the cache is lost: %+v", next.Stats)
	}
}

// TestBranch goes back in an answer and takes another token: what follows is what the model writes behind that.
func TestBranch(t *testing.T) {
	c := newChat(t, "", 8)
	say(t, c, "first")
	a := say(t, c, "hello")
	odds, _ := c.Odds(context.Background())
	taken := odds[2].Others[1].ID
	heard := ""
	more, ok, err := c.Branch(context.Background(), 2, 1, func(part string) { heard += part })
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	_, last := c.split()
	want := slices.Concat(a.IDs[:2], []int{taken}, more.IDs)
	if !slices.Equal(last.answer, want) || len(more.IDs) != 8 || c.Turns() != 2 {
		t.Errorf("answer %v, want %v; %d turns", last.answer, want, c.Turns())
	}
	if text := c.engine.Tokenizer.Decode(want); heard != text || c.Messages()[3].Content != text {
		t.Errorf("heard %q, want %q", heard, text)
	}
	for i, id := range more.IDs { // by hand
		logits, err := c.sequence.Logits(context.Background(), slices.Concat(c.last.ids[:c.last.prompt], want[:3+i]))
		if err != nil {
			t.Fatal(err)
		}
		for _, never := range c.engine.NeverSampled() {
			logits[never] = -1e9
		}
		if got := sample.Argmax(logits); got != id {
			t.Fatalf("token %d behind the branch is %d, want %d", i, id, got)
		}
	}
	now, _ := c.Odds(context.Background())
	if len(now) != len(want) || c.Written() != len(want) || now[2].ID != taken || now[2].Others[0].ID != a.IDs[2] {
		t.Errorf("odds behind the branch: %+v", now)
	}
	if len(c.Seen()) != len(c.last.ids) || !slices.Equal(c.Seen()[len(c.Seen())-len(want):], pieces(c, want)) {
		t.Errorf("seen: %q", c.Seen())
	}
	if _, ok, err := c.Branch(context.Background(), 2, 0, nil); !ok || err != nil { // back to where it was
		t.Fatal(ok, err)
	}
	if _, last := c.split(); !slices.Equal(last.answer[:8], a.IDs) {
		t.Errorf("back at %v, want %v", last.answer, a.IDs)
	}
	before := c.Messages()
	for _, place := range [][2]int{{-1, 0}, {c.Written(), 0}, {0, -1}, {0, 3}} {
		if _, ok, err := c.Branch(context.Background(), place[0], place[1], nil); ok || err != nil || !slices.Equal(c.Messages(), before) {
			t.Errorf("%v: %v, %v", place, ok, err)
		}
	}
}

// TestBranchInAFullContext holds that the last token can be another one where no more follow.
func TestBranchInAFullContext(t *testing.T) {
	c := newChat(t, "", 100)
	a := say(t, c, "hello")
	if a.Stopped != engine.StopContext {
		t.Fatal(a.Stopped)
	}
	last := len(a.IDs) - 1
	odds, _ := c.Odds(context.Background())
	more, ok, err := c.Branch(context.Background(), last, 0, nil)
	if err != nil || !ok || more.Stopped != engine.StopContext || len(more.IDs) != 0 {
		t.Fatal(more, ok, err)
	}
	if _, turn := c.split(); !slices.Equal(turn.answer, append(slices.Clone(a.IDs[:last]), odds[last].Others[0].ID)) || c.Written() != len(a.IDs) {
		t.Errorf("%v, %d written", turn.answer, c.Written())
	}
}

// TestWatch holds that tokens are told while they are written as Odds tells of them afterwards.
func TestWatch(t *testing.T) {
	c := newChat(t, "", 6)
	var told []Odds
	c.Watch = func(odds Odds) { told = append(told, odds) }
	say(t, c, "hello")
	odds, _ := c.Odds(context.Background())
	if len(told) != 6 || len(odds) != 6 {
		t.Fatalf("%d told, %d odds", len(told), len(odds))
	}
	for i := range told {
		if told[i].ID != odds[i].ID || told[i].Others[0].ID != odds[i].Others[0].ID || math.Abs(told[i].Probability-odds[i].Probability) > 1e-5 {
			t.Errorf("%d: told %+v, then %+v", i, told[i], odds[i])
		}
	}
}

func pieces(c *Chat, ids []int) (all []string) {
	for _, id := range ids {
		all = append(all, c.engine.Tokenizer.Piece(id))
	}
	return all
}

// TestOddsOfAnotherConversation holds that what was written is forgotten with its turn.
func TestOddsOfAnotherConversation(t *testing.T) {
	for name, change := range map[string]func(*Chat) error{
		"Reset":   func(c *Chat) error { c.Reset(); return nil },
		"Undo":    func(c *Chat) error { c.Undo(); return nil },
		"Restore": func(c *Chat) error { return c.Restore(said("user", "a", "assistant", "b")) },
		"Resume":  func(c *Chat) error { _, err := c.Resume(said("user", "a")); return err },
	} {
		c := newChat(t, "", 4)
		say(t, c, "hi")
		say(t, c, "ok")
		if err := change(c); err != nil {
			t.Fatal(err)
		}
		if odds, err := c.Odds(context.Background()); len(odds) != 0 || err != nil {
			t.Errorf("%s: %v, %v", name, odds, err)
		}
	}
}

func TestPieces(t *testing.T) {
	if got := newChat(t, "", 4).Pieces("hi\n"); !slices.Equal(got, []string{"<0x68>", "<0x69>", "<0x0A>"}) {
		t.Errorf("%q", got)
	}
}

func TestMeasure(t *testing.T) {
	c := newChat(t, "", 4)
	want := say(t, c, "hello")
	speed, err := c.Measure(context.Background(), 1000, 1000)
	if err != nil || speed.Read != 32 || speed.Written != 32 || speed.ReadTPS <= 0 || speed.WrittenTPS <= 0 || speed.Threads != 1 {
		t.Errorf("%+v, %v", speed, err)
	}
	if again, _ := c.SayInstead(context.Background(), "hello", nil); again.Text != want.Text {
		t.Errorf("after it %q, before %q", again.Text, want.Text)
	}
	stopped, stop := context.WithCancel(context.Background())
	stop()
	if _, err := c.Measure(stopped, 8, 8); err != context.Canceled {
		t.Errorf("stopped: %v", err)
	}
}
