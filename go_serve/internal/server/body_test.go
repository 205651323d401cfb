package server

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"minitron/internal/api"
)

// TestGate lets one in; the next waits, for a while, and is let in when the first one leaves.
func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := make(gate, 1)
		if err := g.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		err := g.enter(t.Context())
		var busy *api.Error
		if !errors.As(err, &busy) || busy.Status != 503 || busy.RetryAfter == 0 || time.Since(began) != gateTimeout {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		gone, leave := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, leave)
		if err := g.enter(gone); err != context.Canceled {
			t.Errorf("who gave up: %v", err)
		}
		time.AfterFunc(time.Second, g.leave)
		if err := g.enter(t.Context()); err != nil {
			t.Errorf("who waited: %v", err)
		}
	})
}

// TestSmallBodiesPass holds that nobody with a small body waits for those with large ones.
func TestSmallBodiesPass(t *testing.T) {
	a := &API{Server: newAPI(t)}
	for range cap(largeBodies) {
		largeBodies.enter(t.Context())
	}
	small := do(a, request{"POST", completions, hi + strings.Repeat(" ", smallBytes-len(hi)-1), nil})
	for range cap(largeBodies) {
		largeBodies.leave()
	}
	large := do(a, request{"POST", completions, hi + strings.Repeat(" ", smallBytes), nil})
	if small.Code != 200 || large.Code != 200 || len(smallBodies) != 0 || len(largeBodies) != 0 {
		t.Errorf("small: %d, large: %d; %d and %d are still in", small.Code, large.Code, len(smallBodies), len(largeBodies))
	}
}
