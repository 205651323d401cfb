package engine

import (
	"slices"
	"testing"
	"time"

	"minitron/internal/bundle"
)

// TestDecodePasses counts the passes after the first token: those that gave a token, and one that gave the end.
func TestDecodePasses(t *testing.T) {
	for maxTokens := range 10 {
		a := generate(t, tiny(t), ids(2, "hello", 4, 3), maxTokens+1)
		want := len(a.IDs) - 1
		if a.Stopped == StopEnd {
			want++
		}
		if a.Stats.DecodePasses != want || (a.Stats.TokensPerSecond() > 0) != (want > 0) {
			t.Errorf("%d tokens, stopped by %s: %+v, want %d passes", len(a.IDs), a.Stopped, a.Stats, want)
		}
	}
	s := Stats{AnswerTokens: 5, DecodePasses: 4, Decode: 2 * time.Second}
	if got := s.TokensPerSecond(); got != 2 {
		t.Errorf("4 passes in 2 s: %v per second", got)
	}
}

// TestWindow compares with the rule in the plainest way: ids come one by one, and what is more than the context loses half
// of one at its begin.
func TestWindow(t *testing.T) {
	e := tinyText(t)
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
