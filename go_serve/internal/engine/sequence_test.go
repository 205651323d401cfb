package engine

import (
	"context"
	"slices"
	"testing"
)

// TestSequenceKeepsWhatItKnows checks what is computed again, and that this changes nothing.
func TestSequenceKeepsWhatItKnows(t *testing.T) {
	e := tiny(t)
	q, _ := e.NewSequence()
	logits := func(text string) []float32 {
		got, err := q.Logits(context.Background(), ids(text))
		if err != nil {
			t.Fatal(err)
		}
		return slices.Clone(got)
	}
	tests := []struct {
		text   string
		reused int
	}{
		{"hello", 0}, {"hello world", 5}, {"help", 3}, {"help", 3}, {"help me", 4}, {"x", 0},
	}
	for _, test := range tests {
		got := logits(test.text)
		if q.reused != test.reused {
			t.Errorf("%q: %d were known, want %d", test.text, q.reused, test.reused)
		}
		fresh, _ := e.NewSequence()
		want, _ := fresh.Logits(context.Background(), ids(test.text))
		if !slices.Equal(got, want) {
			t.Errorf("%q: other logits than from nothing", test.text)
		}
	}
	if shared, held := q.Shared(ids("xyz")); shared != 1 || held != 1 {
		t.Errorf("shared %d of %d", shared, held)
	}
	stopped, stop := context.WithCancel(context.Background())
	stop()
	if _, err := q.Logits(stopped, ids("xyz")); err != context.Canceled {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := q.Logits(context.Background(), nil); err == nil {
		t.Error("no ids at all were taken")
	}
	logits("xyz") // and it goes on
}
