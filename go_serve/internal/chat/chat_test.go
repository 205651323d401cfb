package chat

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"minitron/internal/engine"
	"minitron/internal/fault"
	"minitron/internal/testmodel"
)

// tiny loads a random model: context 64, ids 1 to 4 are the markers (system, user, assistant, end), and every
// byte of a text is one token, 5 + the byte.
func tiny(t testing.TB) *engine.Engine {
	t.Helper()
	e, err := engine.New(testmodel.Bundle(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func newChat(t testing.TB, system string, maxTokens int) *Chat {
	e := tiny(t)
	s := e.Config.Sampling
	s.Temperature, s.MaxTokens = 0, maxTokens
	return New(e, system, s, 1)
}

var ids = testmodel.IDs

func TestTemplate(t *testing.T) {
	c := newChat(t, "be", 4)
	c.turns = []turn{{user: ids("hi"), answer: ids("yo")}}
	got, dropped, err := c.prompt(c.turns, turn{user: ids("ok")})
	want := ids(1, "be", 4, 2, "hi", 4, 3, "yo", 4, 2, "ok", 4, 3)
	if err != nil || dropped != 0 || !slices.Equal(got, want) {
		t.Errorf("prompt = %v (%d dropped, %v), want %v", got, dropped, err, want)
	}
	c.SetSystem("")
	if got, _, _ := c.prompt(c.turns, turn{answer: ids("a")}); !slices.Equal(got, ids(2, "hi", 4, 3, "yo", 4, 2, 4, 3, "a")) {
		t.Errorf("without a system message, and an answer that goes on: %v", got)
	}
}

// TestTrimming fills the context of 64. With max_tokens 4 the reserve is 4, so prompts of 60 ids fit, and where turns go at
// all, the others keep 30 at most; the system message takes 3 of them.
func TestTrimming(t *testing.T) {
	block := func(n int) turn { return turn{user: ids(strings.Repeat("u", n-5)), answer: ids("a")} } // n ids with its markers
	tests := []struct {
		name    string
		system  string
		turns   []int // sizes
		user    int   // tokens of the newest message
		max     int
		dropped int
		size    int // of the prompt
	}{
		{"fits exactly", "s", []int{10, 20}, 24, 4, 0, 60},
		{"one too many", "s", []int{10, 20}, 25, 4, 1, 51},
		{"two turns go", "s", []int{10, 20}, 45, 4, 2, 51},
		{"alone, exactly", "s", nil, 54, 4, 0, 60},
		{"half of the room stays", "", []int{10, 10, 10, 10, 10}, 8, 4, 2, 41},
		{"no more goes than must", "", []int{10, 10, 10, 10, 10}, 37, 4, 3, 60},
		{"the newest turn stays, larger than half", "", []int{10, 8, 38}, 10, 4, 2, 51},
		{"a small turn before a large one goes too", "", []int{6, 40}, 20, 4, 2, 23},
		{"what was dropped once stays so", "", []int{10, 10, 10, 10, 10, 10}, 1, 4, 3, 34}, // for the sixth, not for the last
		{"the reserve is a quarter at most", "", []int{20}, 26, 1000, 1, 29},               // 48 - 3 - 26 = 19
		{"the reserve is at least one", "", nil, 60, 1, 0, 63},
		{"a message that leaves less is answered", "s", []int{10}, 55, 4, 1, 61},
		{"and one that leaves a single token", "s", []int{10}, 57, 1000, 1, 63},
	}
	for _, test := range tests {
		c := newChat(t, test.system, test.max)
		for _, n := range test.turns {
			c.turns = append(c.turns, block(n))
		}
		got, dropped, err := c.prompt(c.turns, turn{user: ids(strings.Repeat("x", test.user))})
		if err != nil || dropped != test.dropped || len(got) != test.size {
			t.Errorf("%s: %d ids, %d dropped, %v; want %d ids, %d dropped", test.name, len(got), dropped, err, test.size, test.dropped)
		}
		if test.system != "" && err == nil && !slices.Equal(got[:3], ids(1, "s", 4)) {
			t.Errorf("%s: the system message is gone", test.name)
		}
	}
}

// TestTokensInUse continues an answer until the context is full: what is in use is what the model saw and wrote.
func TestTokensInUse(t *testing.T) {
	c := newChat(t, "", 12)
	for range 4 {
		say(t, c, "0123456789")
	}
	for {
		a, err := c.More(context.Background(), nil)
		used, size := c.Tokens()
		if want := min(size, len(c.last.ids)+1); err != nil || used != want {
			t.Fatalf("%d of %d tokens in use, want %d (%v)", used, size, want, err)
		}
		if a.Stopped == engine.StopContext {
			return
		}
	}
}

// TestTokensReadAnew chats far beyond the context of 64: ten tokens and their markers a message, four an answer, 18 a turn.
// The fourth message finds 54 tokens before it, which leave no place for its 13 and the reserve of 4: two turns go, and one,
// 18, stays. So every second message is read behind all that came before it, of which only the end of the
// last answer and its marker are new, and the others read one turn more; the first marker is known always.
func TestTokensReadAnew(t *testing.T) {
	c := newChat(t, "", 4)
	want := []struct{ dropped, prompt, read int }{
		{0, 13, 13}, {0, 31, 15}, {0, 49, 15}, {2, 31, 30}, {2, 49, 15}, {4, 31, 30}, {4, 49, 15}, {6, 31, 30}, {6, 49, 15},
	}
	for n, w := range want {
		a := say(t, c, strconv.Itoa(n)+"123456789")
		if len(a.IDs) != 4 {
			t.Fatalf("an answer of %d tokens: the test counts on 4", len(a.IDs))
		}
		read := a.Stats.PromptTokens - a.Stats.CachedTokens
		if a.DroppedTurns != w.dropped || a.Stats.PromptTokens != w.prompt || read != w.read {
			t.Errorf("message %d: %d turns dropped, %d of %d tokens read; want %d, %d of %d", n, a.DroppedTurns, read, a.Stats.PromptTokens, w.dropped, w.read, w.prompt)
		}
	}
	if used, _ := c.Tokens(); c.Turns() != len(want) || used != 3*18 {
		t.Errorf("%d turns, %d tokens in view", c.Turns(), used)
	}
}

func TestTooLong(t *testing.T) {
	c := newChat(t, "s", 4)
	c.turns = []turn{{user: ids("a"), answer: ids("b")}}
	_, err := c.Say(context.Background(), strings.Repeat("x", 58), nil)
	var tooLong *TooLongError
	if !errors.As(err, &tooLong) || tooLong.Tokens != 58 || tooLong.Fit != 57 {
		t.Errorf("%v, want 58 tokens of which 57 fit", err)
	}
	if want := "the message is too long: it has 58 tokens, 57 fit"; err.Error() != want || fault.Hint(err) == "" {
		t.Errorf("%q, want %q and a hint", err, want)
	}
	if c.Turns() != 1 {
		t.Error("an error changed the conversation")
	}
	c.SetSystem(strings.Repeat("s", 70))
	if _, err := c.Say(context.Background(), "x", nil); !errors.As(err, &tooLong) || tooLong.Fit >= 1 {
		t.Errorf("a system message without end: %v", err)
	}
}

// TestLongMessage sends the longest message that fits, first as a new one and then in place of another: a Chat answers it, as the
// API does (NewPrompt), for as long as the context lasts.
func TestLongMessage(t *testing.T) {
	text := strings.Repeat("x", 57)
	p, err := NewPrompt(tiny(t), []Message{{"system", "s"}, {"user", text}}, "", 4, true)
	if err != nil || len(p.IDs) != 63 {
		t.Fatalf("the API's prompt has %d tokens, %v", len(p.IDs), err)
	}
	said, instead := newChat(t, "s", 4), newChat(t, "s", 4)
	say(t, instead, "hi")
	a, err := said.Say(context.Background(), text, nil)
	b, errInstead := instead.SayInstead(context.Background(), text, nil)
	for _, c := range []*Chat{said, instead} {
		if len(c.last.ids) < 63 || !slices.Equal(c.last.ids[:63], p.IDs) || c.Turns() != 1 {
			t.Errorf("%d turns, the model saw %v, not %v", c.Turns(), c.last.ids, p.IDs)
		}
		if used, size := c.Tokens(); used != size {
			t.Errorf("%d of %d tokens in use", used, size)
		}
	}
	if err != nil || errInstead != nil || a.Stopped != engine.StopContext || a.Text != b.Text {
		t.Errorf("%v (%v), instead %v (%v)", a, err, b, errInstead)
	}
}

// TestSay checks that the parts make the text, that the turn is remembered by its ids, and that a second answer finds
// the first one in the cache.
func TestSay(t *testing.T) {
	c := newChat(t, "", 8)
	var parts []string
	first, err := c.Say(context.Background(), "hello", func(part string) { parts = append(parts, part) })
	if err != nil {
		t.Fatal(err)
	}
	if first.Text != strings.Join(parts, "") || first.Text != c.engine.Tokenizer.Decode(first.IDs) {
		t.Errorf("text %q, parts %q", first.Text, parts)
	}
	for _, part := range parts {
		if part == "" || !utf8.ValidString(part) {
			t.Errorf("part %q", part)
		}
	}
	if len(first.IDs) == 0 || len(first.IDs) > 8 || (first.Stopped == engine.StopMaxTokens) != (len(first.IDs) == 8) {
		t.Errorf("%d ids, stopped by %s", len(first.IDs), first.Stopped)
	}
	for _, id := range first.IDs {
		if id < 5 {
			t.Errorf("the answer holds the control id %d", id)
		}
	}
	second, err := c.Say(context.Background(), "again", nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := 8 + len(first.IDs) - 1; second.Stats.CachedTokens < want { // prompt, answer but its last id
		t.Errorf("%d tokens were cached, want at least %d", second.Stats.CachedTokens, want)
	}
	if c.Turns() != 2 {
		t.Errorf("%d turns, want 2", c.Turns())
	}
	used, size := c.Tokens()
	if want := 5 + 5 + len(first.IDs) + len(second.IDs) + 8; used != want || size != 64 {
		t.Errorf("Tokens = %d of %d, want %d of 64", used, size, want)
	}
	c.Reset()
	again, err := c.Say(context.Background(), "hello", nil)
	if err != nil || again.Text != first.Text {
		t.Errorf("after a reset: %q (%v), want %q", again.Text, err, first.Text)
	}
}

// TestWildAnswers writes without a limit, nearly at random: an answer ends where the context does, and holds no control
// piece nor the unknown one.
func TestWildAnswers(t *testing.T) {
	e := tiny(t)
	s := e.Config.Sampling
	s.Temperature, s.TopK, s.TopP, s.MaxTokens = 20, 0, 1, 1000
	full, written := 0, 0
	for seed := range uint64(40) {
		a, err := New(e, "", s, seed).Say(context.Background(), "hello", nil)
		if err != nil {
			t.Fatal(err)
		}
		if a.Stopped == engine.StopContext {
			full++
			if len(a.IDs) != 64-8 {
				t.Errorf("%d ids, want 56", len(a.IDs))
			}
		}
		for _, id := range a.IDs {
			if id < 5 {
				t.Errorf("the answer holds the id %d", id)
			}
		}
		written += len(a.IDs)
	}
	if full == 0 || written < 1000 {
		t.Errorf("%d answers filled the context, %d ids in all: the test sees too little", full, written)
	}
}

// TestEnginePrompt is the same template for those who bring the whole dialogue.
func TestEnginePrompt(t *testing.T) {
	e := tiny(t)
	long := strings.Repeat("x", 20)
	messages := []Message{{"system", "be"}, {"user", long}, {"assistant", long}, {"user", "ok"}}
	p, err := NewPrompt(e, messages, "", 8, false)
	if want := ids(1, "be", 4, 2, long, 4, 3, long, 4, 2, "ok", 4, 3); err != nil || !slices.Equal(p.IDs, want) || p.Tokens != len(want) || p.DroppedTurns != 0 {
		t.Errorf("%+v, %v", p, err)
	}
	p, err = NewPrompt(e, messages, "", 1000, true) // 53 tokens leave no 16
	if want := ids(1, "be", 4, 2, "ok", 4, 3); err != nil || !slices.Equal(p.IDs, want) || p.DroppedTurns != 1 {
		t.Errorf("trimmed: %+v, %v", p, err)
	}
	messages[3].Content = strings.Repeat("y", 12) // 63 of 64
	if p, err = NewPrompt(e, messages, "", 8, false); err != nil || p.Tokens != 63 || len(p.IDs) != 63 {
		t.Errorf("just fits: %+v, %v", p, err)
	}
	messages[3].Content += "y"
	var tooLong *TooLongError
	if p, err = NewPrompt(e, messages, "", 8, false); !errors.As(err, &tooLong) || p.Tokens != 64 {
		t.Errorf("one too many: %+v, %v", p, err)
	}
	if _, err = NewPrompt(e, messages[:1], "", 8, false); err == nil || errors.As(err, &tooLong) {
		t.Errorf("no question: %v", err)
	}
}

// TestNothingIsLost fills the context with messages and lets one go wrong in every way: all of them stay, in the chat and in
// what is saved, and the model sees what it saw before.
func TestNothingIsLost(t *testing.T) {
	c := newChat(t, "be", 4)
	for range 6 {
		say(t, c, "0123456789")
	}
	before := c.Messages()
	if len(before) != 1+2*6 {
		t.Fatalf("%d messages of 6 turns and a system message", len(before))
	}
	used, _ := c.Tokens()
	odds, _ := c.Odds(context.Background())
	unchanged := func(what string) {
		t.Helper()
		now, _ := c.Odds(context.Background())
		if got, _ := c.Tokens(); got != used || !slices.Equal(c.Messages(), before) || !reflect.DeepEqual(now, odds) {
			t.Errorf("%s: %d tokens in view, want %d; %q; %v", what, got, used, c.Messages(), now)
		}
	}
	stopped, stop := context.WithCancel(context.Background())
	stop()
	long := strings.Repeat("x", 50) // with it the model sees nothing of the others
	for what, try := range map[string]func(context.Context, string, func(string)) (Answer, error){"Say": c.Say, "SayInstead": c.SayInstead} {
		if a, err := try(stopped, long, nil); err != nil || a.Stopped != engine.StopInterrupted {
			t.Errorf("%s: %+v, %v", what, a, err)
		}
		unchanged(what + ", stopped while it reads")
		if _, err := try(context.Background(), long+long, nil); err == nil {
			t.Errorf("%s: too long a message was taken", what)
		}
		unchanged(what + ", too long")
	}
	if _, err := c.More(stopped, nil); err != nil {
		t.Error(err)
	}
	unchanged("More, stopped")
	if a := say(t, c, long); a.DroppedTurns != 6 || c.Turns() != 7 || !slices.Equal(c.Messages()[:13], before) {
		t.Errorf("%d dropped, %q", a.DroppedTurns, c.Messages())
	}
	c.Undo()
	if used, _ := c.Tokens(); used < 4+18 || !slices.Equal(c.Messages(), before) {
		t.Errorf("after /undo the model sees %d tokens of %q", used, c.Messages())
	}
}

func TestInterrupted(t *testing.T) {
	c := newChat(t, "", 40)
	ctx, cancel := context.WithCancel(context.Background())
	a, err := c.Say(ctx, "hello", func(string) { cancel() })
	if err != nil || a.Stopped != engine.StopInterrupted || len(a.IDs) == 0 || c.Turns() != 1 {
		t.Errorf("%+v, %v, %d turns", a, err, c.Turns())
	}
	a, err = c.Say(ctx, "again", nil) // before the first token
	if err != nil || a.Stopped != engine.StopInterrupted || len(a.IDs) != 0 || c.Turns() != 1 {
		t.Errorf("%+v, %v, %d turns", a, err, c.Turns())
	}
}

// said makes messages of pairs of role and content.
func said(pairs ...string) (all []Message) {
	for pair := range slices.Chunk(pairs, 2) {
		all = append(all, Message{pair[0], pair[1]})
	}
	return all
}

// TestResume takes dialogues in every order, and holds what the model is asked.
func TestResume(t *testing.T) {
	const s, u, a = "system", "user", "assistant"
	tests := []struct {
		name     string
		messages []Message
		want     []int // nil: refused
	}{
		{"in turn", said(s, "s", u, "a", a, "b", u, "c"), ids(1, "s", 4, 2, "a", 4, 3, "b", 4, 2, "c", 4, 3)},
		{"one message", said(u, "a"), ids(2, "a", 4, 3)},
		{"an empty one", said(u, ""), ids(2, 4, 3)},
		{"a question without an answer", said(u, "a", u, "b"), ids(2, "a\nb", 4, 3)},
		{"an answer in two parts", said(u, "a", a, "b", a, "", a, "c", u, "d"), ids(2, "a", 4, 3, "b\nc", 4, 2, "d", 4, 3)},
		{"the assistant begins", said(a, "a", u, "b"), ids(2, 4, 3, "a", 4, 2, "b", 4, 3)},
		{"a later system message", said(u, "a", a, "b", s, "s", u, "c"), ids(1, "s", 4, 2, "a", 4, 3, "b", 4, 2, "c", 4, 3)},
		{"several, between questions too", said(s, "s", u, "a", s, "t", u, "b"), ids(1, "s\nt", 4, 2, "a\nb", 4, 3)},
		{"none", nil, nil},
		{"nothing is asked", said(s, "s"), nil},
		{"the last is an answer", said(u, "a", a, "b"), nil},
		{"another role", said("tool", "a"), nil},
	}
	for _, test := range tests {
		c := newChat(t, "old", 4)
		say(t, c, "before")
		last, err := c.Resume(test.messages)
		if test.want == nil {
			if err == nil || c.System() != "old" || c.Turns() != 1 {
				t.Errorf("%s was taken, or changed the conversation: %v", test.name, err)
			}
			continue
		}
		got, _, _ := c.prompt(c.turns, c.newTurn(last))
		if err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, %v, want %v", test.name, got, err, test.want)
		}
	}
}
