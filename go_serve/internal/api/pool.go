package api

import (
	"context"
	"slices"
	"sync"
	"time"

	"minitron/internal/engine"
	"minitron/internal/sample"
)

// slot is a place for one answer at a time, warm with what was read and written there before.
type slot struct {
	sequence *engine.Sequence
	sampler  *sample.Sampler
}

// pool lends slots: to a prompt the one that knows most of it. Who finds none waits, first come, first served.
type pool struct {
	engine *engine.Engine
	most   int // slots
	queue  int // how many may wait

	mu      sync.Mutex
	made    int
	free    []*slot // the longest unused first
	waiting []chan *slot
}

// Busy is the refusal of one request too many.
func Busy() *Error {
	e := Refuse(503, "server_busy", "", "The server is busy: too many requests are waiting. Please try again in a moment.")
	e.RetryAfter = 1
	return e
}

// waitingInterval is how often somebody who waits for a slot is told so: proxies and clients break off a silent connection,
// after half a minute at the earliest.
const waitingInterval = 10 * time.Second

// take waits for a slot, which must be given back; while it waits it calls still now and then, whose error ends the waiting.
func (p *pool) take(ctx context.Context, prompt []int, still func() error) (*slot, error) {
	p.mu.Lock()
	if s := p.choose(prompt); s != nil {
		p.mu.Unlock()
		return s, nil
	}
	if p.made < p.most {
		p.made++
		p.mu.Unlock()
		s, err := p.newSlot()
		if err != nil {
			p.mu.Lock()
			p.made--
			p.mu.Unlock()
		}
		return s, err
	}
	if len(p.waiting) >= p.queue {
		p.mu.Unlock()
		return nil, Busy()
	}
	turn := make(chan *slot, 1)
	p.waiting = append(p.waiting, turn)
	p.mu.Unlock()
	ticker := time.NewTicker(waitingInterval)
	defer ticker.Stop()
	for {
		var err error
		select {
		case s := <-turn:
			return s, nil
		case <-ctx.Done():
			err = ctx.Err()
		case <-ticker.C:
			err = still()
		}
		if err != nil {
			p.leave(turn)
			return nil, err
		}
	}
}

// leave is for one who waits no longer.
func (p *pool) leave(turn chan *slot) {
	p.mu.Lock()
	place := slices.Index(p.waiting, turn)
	if place >= 0 {
		p.waiting = slices.Delete(p.waiting, place, place+1)
	}
	p.mu.Unlock()
	if place < 0 { // a slot came at the same moment
		p.give(<-turn)
	}
}

// give takes a slot back, and lends it to the first who waits.
func (p *pool) give(s *slot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) > 0 {
		p.waiting[0] <- s
		p.waiting = slices.Delete(p.waiting, 0, 1)
		return
	}
	p.free = append(p.free, s)
}

// choose takes the free slot that shares most with prompt, if that is half of what it holds: then it is the same
// conversation, as a rule. Else nil while more slots may be made, so that a conversation stays warm that only begins alike;
// at last the one that was unused for longest.
func (p *pool) choose(prompt []int) *slot {
	best, bestShared := -1, 0
	for i, s := range p.free {
		shared, held := s.sequence.Shared(prompt)
		if 2*shared >= held && shared >= bestShared {
			best, bestShared = i, shared
		}
	}
	if best < 0 && p.made == p.most && len(p.free) > 0 {
		best = 0
	}
	if best < 0 {
		return nil
	}
	s := p.free[best]
	p.free = slices.Delete(p.free, best, best+1)
	return s
}

func (p *pool) newSlot() (*slot, error) {
	sequence, err := p.engine.NewSequence()
	if err != nil {
		return nil, err
	}
	return &slot{sequence, p.engine.NewSampler(0)}, nil
}

// Bounds of the number of slots when nobody chose it.
const (
	slotsBytes = 512 << 20
	mostSlots  = 64
)

// slotsFor returns how many slots of that size take at most slotsBytes.
func slotsFor(slotBytes int64) int {
	return int(min(max(1, slotsBytes/slotBytes), mostSlots))
}

// slotBytes returns what a slot takes: a sequence, and what the sampler needs for the vocabulary.
func slotBytes(e *engine.Engine) int64 {
	return e.Model.StateBytes() + 64*int64(e.Config.Model.VocabSize)
}
