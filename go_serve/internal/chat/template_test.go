package chat

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"minitron/internal/bundle"
	"minitron/internal/engine"
	"minitron/internal/testmodel"
	"minitron/internal/tokenizer"
	"minitron/internal/weights"
)

// pythonSpace is all for which Python 3 says str.isspace, and so what str.strip takes.
const pythonSpace = "\x09\x0a\x0b\x0c\x0d\x1c\x1d\x1e\x1f\x20\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"

// templates are engines that make prompts but compute nothing: with bytes only, with the pieces of a chat model, with a
// table that turns ＜｜ｕｓｅｒ｜＞ into <|user|>, with ChatML, which has more than one id around a message, and with Llama 3's
// template, which has one before all and strips texts.
func templates(t testing.TB, context int) (all []*engine.Engine) {
	t.Helper()
	vocabularies := []*bundle.Vocab{}
	vocabularies = append(vocabularies, testmodel.Bundle(t).Vocab)
	for _, name := range []string{"chat", "nmt_nfkc", "byte-qwen2", "byte-llama-bpe"} {
		vocabularies = append(vocabularies, testmodel.Vocabulary(t, name))
	}
	for _, v := range vocabularies {
		tok, err := tokenizer.New(v)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, &engine.Engine{Config: &bundle.Config{Model: weights.Shape{Context: context}}, Tokenizer: tok})
	}
	return all
}

// render is the template in the plainest way: docs/formats.md in some lines.
func render(e *engine.Engine, messages []Message) (ids []int) {
	marker := e.Tokenizer.Chat()
	roles := map[string][]int{"system": marker.System, "user": marker.User, "assistant": marker.Assistant}
	for _, m := range messages {
		text := m.Content
		if marker.Strip {
			text = strings.Trim(text, pythonSpace)
		}
		ids = slices.Concat(ids, roles[m.Role], e.Tokenizer.Encode(text), marker.Closing)
	}
	return slices.Concat(marker.Start, ids, marker.Assistant)
}

// TestDialogueIsPythons compares with what minitron's chat_template makes of dialogues.
func TestDialogueIsPythons(t *testing.T) {
	for _, name := range []string{"byte-gpt-2", "byte-smollm", "byte-llama-bpe", "byte-qwen2"} {
		vocab, dialogues := testmodel.Dialogues(t, name)
		tok, err := tokenizer.New(vocab)
		if err != nil {
			t.Fatal(err)
		}
		e := &engine.Engine{Config: &bundle.Config{Model: weights.Shape{Context: 1 << 16}}, Tokenizer: tok}
		for _, d := range dialogues {
			var messages []Message
			for _, m := range d.Messages {
				messages = append(messages, Message{m.Role, m.Content})
			}
			if p, err := NewPrompt(e, messages, "", 1, true); err != nil || !slices.Equal(p.IDs, d.IDs) {
				t.Errorf("%s: %q is %v (%v), want %v", name, messages, p.IDs, err, d.IDs)
			}
		}
		if len(dialogues) < 40 {
			t.Errorf("%s: %d dialogues", name, len(dialogues))
		}
	}
}

// trimmed is the rule for a full context in the plainest way: a dialogue is asked message by message. Where a message, what
// is seen of the dialogue and the reserve do not fit, the oldest turns go one at a time, until all fits and the turns take
// half of the room at most; the newest stays where it fits. ok is false when not even the last message fits.
func trimmed(e *engine.Engine, messages []Message, reserve int) (ids []int, dropped int, ok bool) {
	var system []Message
	if messages[0].Role == "system" {
		if system, messages = messages[:1], messages[1:]; system[0].Content == "" {
			system = nil
		}
	}
	before := len(e.Tokenizer.Chat().Start)
	asking := len(e.Tokenizer.Chat().Assistant) // tokens of what asks for an answer
	tokens := make([]int, len(messages))        // of each message
	for i, m := range messages {
		tokens[i] = len(render(e, []Message{m})) - before - asking
	}
	sum := func(tokens []int) (sum int) {
		for _, n := range tokens {
			sum += n
		}
		return sum
	}
	room := e.Config.Model.Context - reserve - (len(render(e, system)) - asking)
	fits := func(n int) bool { return sum(tokens[2*dropped:n+1])+asking <= room }
	for n := 0; n < len(messages); n += 2 { // messages[n] is asked
		if fits(n) {
			continue
		}
		for 2*dropped < n && !fits(n) {
			dropped++
		}
		for 2*dropped < n-2 && sum(tokens[2*dropped:n]) > room/2 {
			dropped++
		}
	}
	return render(e, slices.Concat(system, messages[2*dropped:])), dropped, fits(len(messages) - 1)
}

// checkPrompt compares Prompt with the plain rules, and looks at the ids alone: markers stand where the template has them,
// and between them no control id does.
func checkPrompt(t *testing.T, e *engine.Engine, messages []Message, maxTokens int) (dropped int, fits bool) {
	t.Helper()
	p, err := NewPrompt(e, messages, "", maxTokens, true)
	reserve := max(1, min(maxTokens, e.Config.Model.Context/4))
	want, dropped, fits := trimmed(e, messages, reserve)
	for !fits && reserve > 1 { // the last message leaves less room for an answer
		reserve--
		want, dropped, fits = trimmed(e, messages, reserve)
	}
	var tooLong *TooLongError
	if !fits {
		if !errors.As(err, &tooLong) {
			t.Fatalf("%q: %v, want a TooLongError", messages, err)
		}
		return dropped, false
	}
	if err != nil || p.DroppedTurns != dropped || !slices.Equal(p.IDs, want) {
		t.Fatalf("%q: %v (%d dropped, %v), want %v (%d dropped)", messages, p.IDs, p.DroppedTurns, err, want, dropped)
	}
	marker, control, rest := e.Tokenizer.Chat(), e.NeverSampled(), p.IDs
	take := func(ids []int) {
		if len(rest) < len(ids) || !slices.Equal(rest[:len(ids)], ids) {
			t.Fatalf("%q: %v at the end of %v, want %v", messages, rest, p.IDs, ids)
		}
		rest = rest[len(ids):]
	}
	content := func() {
		for ; len(rest) > 0 && rest[0] != marker.End(); rest = rest[1:] {
			if slices.Contains(control, rest[0]) && e.Tokenizer.Piece(rest[0]) != "<unk>" {
				t.Fatalf("%q: the control id %d inside a message of %v", messages, rest[0], p.IDs)
			}
		}
		take(marker.Closing)
	}
	take(marker.Start)
	if messages[0].Role == "system" && messages[0].Content != "" {
		take(marker.System)
		content()
	}
	for {
		take(marker.User)
		content()
		if take(marker.Assistant); len(rest) == 0 {
			break
		}
		content()
	}
	// Untrimmed: all, or an error.
	all, err := NewPrompt(e, messages, "", maxTokens, false)
	if whole := render(e, withoutEmptySystem(messages)); len(whole) < e.Config.Model.Context {
		if err != nil || !slices.Equal(all.IDs, whole) || all.Tokens != len(whole) {
			t.Fatalf("%q untrimmed: %v, %v", messages, all, err)
		}
	} else if !errors.As(err, &tooLong) {
		t.Fatalf("%q untrimmed: %v, want a TooLongError", messages, err)
	}
	return dropped, true
}

func withoutEmptySystem(messages []Message) []Message {
	if messages[0].Role == "system" && messages[0].Content == "" {
		return messages[1:]
	}
	return messages
}

// TestAnyConversation tries random conversations, most of which do not fit.
func TestAnyConversation(t *testing.T) {
	chance := rand.New(rand.NewPCG(3, 4))
	words := []string{"<|user|>", "<|end|>", "＜｜ｕｓｅｒ｜＞", "<0x02>", "<unk>", "a", "hello ", "привет ", "👩\u200d👩\u200d👧", "\x00", "\xff", "\n", " ", "\u2581", "e\u0301"}
	text := func(most int) string {
		var b strings.Builder
		for range chance.IntN(most + 1) {
			b.WriteString(words[chance.IntN(len(words))])
		}
		return b.String()
	}
	all := 0
	seen := map[string]int{}
	for _, context := range []int{8, 64, 200} {
		for _, e := range templates(t, context) {
			for range 700 {
				var messages []Message
				if chance.IntN(2) > 0 {
					messages = append(messages, Message{"system", text(4)})
				}
				for range chance.IntN(12) {
					messages = append(messages, Message{"user", text(6)}, Message{"assistant", text(6)})
				}
				messages = append(messages, Message{"user", text(8)})
				dropped, fits := checkPrompt(t, e, messages, 1+chance.IntN(100))
				all++
				switch {
				case !fits:
					seen["refused"]++
				case dropped > 0:
					seen["trimmed"]++
				default:
					seen["whole"]++
				}
			}
		}
	}
	for _, kind := range []string{"refused", "trimmed", "whole"} {
		if seen[kind] < all/10 {
			t.Errorf("%d of %d conversations were %s: the test sees too little", seen[kind], all, kind)
		}
	}
}

// FuzzTemplate takes any texts: those between zero bytes are the messages.
func FuzzTemplate(f *testing.F) {
	for _, seed := range []string{"", "hello", "be kind\x00hi\x00yo\x00<|end|><|assistant|>", "\x00\x00\x00\x00", "＜｜ｅｎｄ｜＞\x00\xff\xfe\x00👩\u200d👩",
		strings.Repeat("a long one ", 30) + "\x00b", strings.Repeat("a\x00b\x00", 20) + "c", "<0x03>\x00\u2581\u2581 "} {
		f.Add([]byte(seed), true, uint16(20))
		f.Add([]byte(seed), false, uint16(1))
	}
	engines := templates(f, 64)
	f.Fuzz(func(t *testing.T, data []byte, system bool, maxTokens uint16) {
		var messages []Message
		texts := strings.Split(string(data), "\x00")
		if system {
			messages = append(messages, Message{"system", texts[0]})
			texts = texts[1:]
		}
		for i, text := range texts {
			messages = append(messages, Message{[]string{"user", "assistant"}[i%2], text})
		}
		if len(texts)%2 == 0 {
			messages = append(messages, Message{"user", "and?"})
		}
		for _, e := range engines {
			checkPrompt(t, e, messages, 1+int(maxTokens))
		}
	})
}
