// Package engine is a loaded model that writes: sequences that take turns to compute, and an answer that grows as text. It
// knows no dialogues: a prompt is ids.
package engine

import (
	"slices"

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

	ready  chan struct{} // closed once the two below are known
	damage error         // what is wrong with the weights
	pool   *kernel.Pool
	queue  turnQueue // of sequences that compute
}

// New makes an engine of an opened bundle, which must stay open. It does not wait until all weights were looked at
// and until it is known how many threads are fastest (for threads < 1): that goes on while a person reads the greeting.
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
		e.Close() // from here on nobody reads the weights
		return nil, fault.New("export the bundle again", "vocab.json is not usable: %w", err)
	}
	return e, nil
}

// Ready waits until everything can be computed, and returns what is wrong with the weights.
func (e *Engine) Ready() error {
	<-e.ready
	return e.damage
}

// Close ends the threads, once the engine is ready. Nothing of it may compute, nor compute any more.
func (e *Engine) Close() {
	if e.Ready() == nil {
		e.pool.Close()
	}
}

// NewState makes an empty sequence as soon as the engine is ready. Only one of an engine's states may compute at a time.
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

// Window returns what the model sees of ids. The ids of a dialogue fit. Of a text that outgrows the context the oldest half
// of the window goes, and again whenever it is full: where the window begins depends on the length alone, so that a text
// goes on alike in one answer and in several, and most ids are read once with all before them in the cache.
func (e *Engine) Window(ids []int) []int {
	size := e.Config.Model.Longest()
	if !e.ContinuesText() || len(ids) <= size {
		return ids
	}
	half := size / 2
	return ids[((len(ids)-size-1)/half+1)*half:]
}

// NeverSampled returns the ids that no answer may hold: unknown and every control piece but the end marker.
func (e *Engine) NeverSampled() []int {
	end := e.Tokenizer.Chat().End()
	return slices.DeleteFunc(e.Tokenizer.Silent(), func(id int) bool { return id == end })
}
