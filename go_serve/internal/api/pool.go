package api

import (
	"context"
	"slices"
	"sync"
	"time"

	"minitron/internal/engine"
	"minitron/internal/sample"
)

// slot is a place for one answer at a time. Its cache keeps what was read and written there before.
type slot struct {
	sequence *engine.Sequence
	sampler  *sample.Sampler
}

// pool lends slots. A prompt gets the free slot whose cache holds most of it. Requests that find no slot wait, first come,
// first served.
type pool struct {
	engine *engine.Engine
	most   int // how many slots there may be
	queue  int // how many requests may wait

	mu      sync.Mutex
	made    int
	free    []*slot // the longest unused first
	waiting []chan *slot
}

// Busy is the refusal of a request when too many are waiting.
func Busy() *Error {
	e := Refuse(503, "server_busy", "", "The server is busy: too many requests are waiting. Please try again in a moment.")
	e.RetryAfter = 1
	return e
}

// waitingInterval is how often a request that waits for a slot is told so: proxies and clients break off a silent connection,
// after half a minute at the earliest.
const waitingInterval = 10 * time.Second

// take waits for a slot, which must be given back. While it waits it calls still every waitingInterval; an error of still ends
// the waiting.
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

// leave gives up a place in the queue.
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

// give takes a slot back, and lends it to the first in the queue, if there is one.
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

// choose takes the free slot that shares the most tokens with prompt, if these are at least half of what the slot holds: then
// it is usually the same conversation. Otherwise it returns nil while more slots may be made, so that another conversation that
// only begins alike keeps its cache. When all slots are made, it takes the one that was unused for longest, or returns nil if
// none is free.
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

// Bounds of the number of slots when nobody chose it: slotsBytes is their size in all, mostSlots the largest number.
const (
	slotsBytes = 512 << 20
	mostSlots  = 64
)

// slotsFor returns how many slots of that many bytes fit into slotsBytes: at least one, at most mostSlots.
func slotsFor(slotBytes int64) int {
	return int(min(max(1, slotsBytes/slotBytes), mostSlots))
}

// slotBytes returns the bytes that a slot takes: those of a sequence, and what the sampler needs for the vocabulary.
func slotBytes(e *engine.Engine) int64 {
	return e.Model.StateBytes() + 64*int64(e.Config.Model.VocabSize)
}
