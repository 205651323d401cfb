package chat

import (
	"context"
	"fmt"
	"slices"
	"testing"
)

// TestLongPastTheEnd talks for 100 turns after the context was full: all that was said is kept, and as half of the oldest turns go
// at once, the median message has at most 60% of the context read anew.
func TestLongPastTheEnd(t *testing.T) {
	c := newChat(t, "be", 4)
	_, size := c.Tokens()
	want := []Message{{"system", "be"}}
	var read []int // tokens, of each message since the context was full
	forgotten := 0
	for n := 0; len(read) < 100; n++ {
		question := fmt.Sprintf("q%d", n)
		a, err := c.Say(context.Background(), question, nil)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, Message{"user", question}, Message{"assistant", a.Text})
		if a.DroppedTurns < forgotten || a.DroppedTurns > n {
			t.Fatalf("message %d: %d turns are left out, %d were before", n, a.DroppedTurns, forgotten)
		}
		if forgotten = a.DroppedTurns; forgotten > 0 {
			read = append(read, a.Stats.PromptTokens-a.Stats.CachedTokens)
		}
	}
	if got := c.Messages(); !slices.Equal(got, want) {
		t.Errorf("%d messages are kept, want %d: %q", len(got), len(want), got)
	}
	fresh := newChat(t, "", 4)
	if err := fresh.Restore(c.Messages()); err != nil || !slices.Equal(fresh.Messages(), want) {
		t.Errorf("restored: %v, %d messages", err, len(fresh.Messages()))
	}
	slices.Sort(read)
	if median := read[len(read)/2]; median*100 > 60*size {
		t.Errorf("the median message has %d of %d tokens read anew: %v", median, size, read)
	}
}
