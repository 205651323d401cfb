// Package chat holds a conversation: the template, the turns, what is forgotten when the context is full, and the
// growing answer as text. It knows neither terminals nor servers; both stand on it.
package chat

import (
	"io/fs"
	"slices"
	"time"

	"minitron-chat/internal/bundle"
	"minitron-chat/internal/fault"
	"minitron-chat/internal/kernel"
	"minitron-chat/internal/model"
	"minitron-chat/internal/tokenizer"
)

// Engine is a loaded model with everything that conversations share. Its Pool serves one conversation at a time.
type Engine struct {
	Config    *bundle.Config
	Tokenizer *tokenizer.Tokenizer
	Model     *model.Model
	Pool      *kernel.Pool
	LoadTime  time.Duration
}

// Load opens a bundle and reads all of it. threads < 1 chooses a number that suits the model.
func Load(fsys fs.FS, threads int) (*Engine, error) {
	began := time.Now()
	b, err := bundle.Open(fsys)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	e := &Engine{Config: b.Config}
	if e.Tokenizer, err = tokenizer.New(b.Vocab); err != nil {
		return nil, fault.New("export the bundle again", "vocab.json is not usable: %w", err)
	}
	if e.Model, err = model.Load(b); err != nil {
		return nil, err
	}
	e.Pool = kernel.NewPool(Threads(b.Config.Params, threads))
	e.LoadTime = time.Since(began)
	return e, nil
}

// NeverSampled returns the ids that no answer may hold: unknown and every control piece but the end marker.
func (e *Engine) NeverSampled() []int {
	end := e.Tokenizer.Chat().End
	return slices.DeleteFunc(e.Tokenizer.Silent(), func(id int) bool { return id == end })
}
