// Package minitron runs small language models that `minitron export` wrote: it opens the three files of a bundle, answers
// messages or continues texts, and gives out ids and logits. It knows neither terminals nor servers; the program
// cmd/minitron-chat stands on it. Standard library only, no cgo, no network.
//
//	m, err := minitron.Open(os.DirFS("export/demo"))
//	...
//	defer m.Close()
//	for text, err := range m.NewChat().Say(ctx, "hello") {
//		...
//	}
//
// A Model may be used by several goroutines at once, a Chat and a Session by one each: those that compute at the same time
// take turns. The same seed, settings and messages give the same answer on every machine where matrices are q8 or q4, and
// whoever else computes. Which instructions are used is chosen once for the whole process, by what its processor has.
package minitron

import (
	"context"
	"errors"
	"io/fs"

	"minitron/internal/bundle"
	"minitron/internal/engine"
	"minitron/internal/weights"
)

// Model is an opened model.
type Model struct {
	bundle *bundle.Bundle
	engine *engine.Engine
}

// Option is a setting of Open.
type Option func(*settings)

type settings struct{ threads int }

// WithThreads sets how many threads compute. Without it, or below 1, Open finds out how many are fastest: some milliseconds.
func WithThreads(n int) Option { return func(s *settings) { s.threads = n } }

// Open opens the model in fsys: config.json, vocab.json and weights.bin. The weights are used where they are: mapped, if
// fsys is an os.DirFS, or inside the program (Embedded). All of config.json and vocab.json is checked at once; the weights'
// checksum meanwhile, and what computes first waits for it (Ready). An error is one plain sentence.
func Open(fsys fs.FS, options ...Option) (*Model, error) {
	var s settings
	for _, option := range options {
		option(&s)
	}
	b, err := bundle.Open(fsys)
	if err != nil {
		return nil, err
	}
	e, err := engine.New(b, s.threads)
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return &Model{b, e}, nil
}

// Embedded is a file system of a model inside the program. The strings are used where they are, so that a large model costs
// no memory until it is touched; an embed.FS would be copied.
//
//	//go:embed model/weights.bin
//	var weights string
func Embedded(config, vocab, weightsBin string) fs.FS {
	return weights.Strings{"config.json": config, "vocab.json": vocab, "weights.bin": weightsBin}
}

// Close ends the threads and gives the weights back. Nothing of the model may be in use, nor be used any more.
func (m *Model) Close() error {
	m.engine.Close()
	return m.bundle.Close()
}

// Ready waits until the weights were looked at and everything can be computed. Nobody has to call it: its error is that of
// the first computation, too.
func (m *Model) Ready() error { return m.engine.Ready() }

// Info is what a model says of itself.
type Info struct {
	Name      string
	Params    int64    // weights, but for learned positions; tied ones once
	DType     string   // of the matrices: "f16", "q8" or "q4"
	Context   int      // the longest sequence, in tokens; 2^28 where it has no end
	VocabSize int      // ids are below it
	System    string   // the usual system message
	Sampling  Sampling // the usual settings
}

// Info returns what the model says of itself.
func (m *Model) Info() Info {
	c := m.bundle.Config
	return Info{c.Name, c.Params, c.DType, c.Model.Longest(), c.Model.VocabSize, c.System, Sampling(c.Sampling)}
}

// ContinuesText reports whether this is a base model: it continues text and does not answer messages.
func (m *Model) ContinuesText() bool { return m.engine.ContinuesText() }

// Threads waits until the model is ready and returns how many threads compute, 0 where the weights are damaged.
func (m *Model) Threads() int {
	if m.Ready() != nil {
		return 0
	}
	return m.engine.Threads()
}

// Encode returns the ids of a text. Nothing in it becomes a control token.
func (m *Model) Encode(text string) []int { return m.engine.Tokenizer.Encode(text) }

// Decode returns the text of ids; control tokens are none. Ids must be below Info's VocabSize.
func (m *Model) Decode(ids []int) string { return m.engine.Tokenizer.Decode(ids) }

// Logits returns the logits that follow ids, one per token of the vocabulary, before any setting of a Sampling. There may be
// as many ids as the context has tokens. For one sequence after the other, or one that grows, use a Session.
func (m *Model) Logits(ctx context.Context, ids []int) ([]float32, error) {
	s, err := m.NewSession()
	if err != nil {
		return nil, err
	}
	return s.Logits(ctx, ids)
}

// Session is a sequence of ids that grows and changes, with what the model keeps of it (a KV cache). It belongs to one
// goroutine.
type Session struct{ sequence *engine.Sequence }

// NewSession makes an empty sequence, as soon as the model is ready.
func (m *Model) NewSession() (*Session, error) {
	sequence, err := m.engine.NewSequence()
	if err != nil {
		return nil, err
	}
	return &Session{sequence}, nil
}

// Logits is Model's Logits. What ids begin with in common with those of the call before is not computed again, which changes no
// bit of the result. The slice is valid until the next call.
func (s *Session) Logits(ctx context.Context, ids []int) ([]float32, error) {
	return s.sequence.Logits(ctx, ids)
}

// Extend returns the logits that follow the sequence and ids after it: those that Logits returns for all of it, which need not be
// given again. That takes no longer the longer the sequence is; where its context has no end it may be of any length.
func (s *Session) Extend(ctx context.Context, ids []int) ([]float32, error) {
	return s.sequence.Extend(ctx, ids)
}

// Reset forgets the sequence.
func (s *Session) Reset() { s.sequence.Reset() }
