// Package engine is a loaded model that writes: sequences that take turns to compute, and an answer that grows as text. It
// knows no dialogues: a prompt is ids.
package engine

import (
	"slices"
	"sync"

	"minitron/internal/bundle"
	"minitron/internal/fault"
	"minitron/internal/kernel"
	"minitron/internal/model"
	"minitron/internal/tokenizer"
)

// Engine is a loaded model with everything that conversations share.
type Engine struct {
	Config    *bundle.Config
	Tokenizer *tokenizer.Tokenizer
	Model     *model.Model

	ready  chan struct{} // closed once damage and pool are known
	damage error         // what is wrong with the weights
	pool   *kernel.Pool
	queue  turnQueue // the turns of the sequences to compute

	never struct { // what NeverSampled returns, once somebody asked
		once sync.Once
		ids  []int
	}
}

// New makes an engine of an opened bundle, which must stay open. It does not wait until all weights are checked and, for
// threads < 1, the fastest number of threads is known: that goes on while a person reads the greeting.
func New(b *bundle.Bundle, threads int) (*Engine, error) {
	e := &Engine{Config: b.Config, ready: make(chan struct{})}
	var err error
	if e.Model, err = model.Load(b.Weights); err != nil {
		return nil, err
	}
	go func() {
		defer close(e.ready)
		if e.damage = b.Verify(); e.damage != nil {
			return
		}
		if threads < 1 {
			threads = e.Model.BestThreads()
		}
		e.pool = kernel.NewPool(threads)
	}()
	if e.Tokenizer, err = tokenizer.New(b.Vocab); err != nil {
		e.Close() // waits until nobody reads the weights any more
		return nil, fault.New("export the bundle again", "vocab.json is not usable: %w", err)
	}
	return e, nil
}

// Ready waits until the engine can compute, and returns what is wrong with the weights, if anything.
func (e *Engine) Ready() error {
	<-e.ready
	return e.damage
}

// Close waits until the engine is ready and ends its threads. Nothing may compute with the engine at that time or later.
func (e *Engine) Close() {
	if e.Ready() == nil {
		e.pool.Close()
	}
}

// NewState waits until the engine is ready and makes an empty state. Only one of an engine's states may compute at a time.
func (e *Engine) NewState() (*model.State, error) {
	if err := e.Ready(); err != nil {
		return nil, err
	}
	return e.Model.NewState(e.pool), nil
}

// Threads returns how many threads compute; the engine must be ready.
func (e *Engine) Threads() int { return e.pool.Threads() }

// ContinuesText reports whether the model continues text, rather than answering messages.
func (e *Engine) ContinuesText() bool { return e.Config.Template == bundle.RawText }

// Window returns what the model sees of ids. The ids of a dialogue fit. Of a text that outgrows the context the oldest tokens
// are dropped, half a window at a time, whenever the window is full. Where the window begins depends on the length alone, so
// that a text goes on alike in one answer and in several, and the cache serves for most of the tokens.
func (e *Engine) Window(ids []int) []int {
	size := e.Config.Model.Longest()
	if !e.ContinuesText() || len(ids) <= size {
		return ids
	}
	half := size / 2
	return ids[((len(ids)-size-1)/half+1)*half:]
}

// NeverSampled returns the ids that no answer may hold: unknown and every control piece but the end marker. The caller must not
// change them.
func (e *Engine) NeverSampled() []int {
	e.never.once.Do(func() {
		end := e.Tokenizer.Chat().End()
		e.never.ids = slices.DeleteFunc(e.Tokenizer.Silent(), func(id int) bool { return id == end })
	})
	return e.never.ids
}
