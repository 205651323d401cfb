// Package minitron runs small language models that `minitron export` wrote: it opens the three files of a bundle, answers
// messages or continues texts, and returns ids and logits. It knows neither terminals nor servers; the program
// cmd/minitron-chat is built on it. Standard library only, no cgo, no network.
//
//	m, err := minitron.Open(os.DirFS("export/demo"))
//	...
//	defer m.Close()
//	for text, err := range m.NewChat().Say(ctx, "hello") {
//		...
//	}
//
// A Model may be used by several goroutines at once, a Chat or a Session by one only; those that compute at the same time take
// turns. If matrices are q8 or q4, the same seed, settings and messages give the same answer on every machine, whatever else is
// computed meanwhile. Which instructions are used is chosen once for the whole process, by what its processor has.
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

// WithThreads sets how many threads compute. Without it, or with n below 1, the fastest number is found by trying, which takes
// some milliseconds.
func WithThreads(n int) Option { return func(s *settings) { s.threads = n } }

// Open opens the model in fsys: config.json, vocab.json and weights.bin. The weights are used in place: mapped, if fsys is an
// os.DirFS, or inside the program (Embedded). config.json and vocab.json are checked completely before Open returns. The
// weights are checked in the background, and the first computation waits for that (Ready). An error is one plain sentence.
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

// Embedded returns a file system with a model inside the program. The strings are used in place, so that a large model costs no
// memory until it is touched; an embed.FS would be copied.
//
//	//go:embed model/weights.bin
//	var weights string
func Embedded(config, vocab, weightsBin string) fs.FS {
	return weights.Strings{"config.json": config, "vocab.json": vocab, "weights.bin": weightsBin}
}

// Close ends the threads and gives the memory of the weights back. The model must not be in use, and must not be used any more.
func (m *Model) Close() error {
	m.engine.Close()
	return m.bundle.Close()
}

// Ready waits until the weights are checked and the model can compute. Nobody has to call it: the first computation waits too
// and returns the same error.
func (m *Model) Ready() error { return m.engine.Ready() }

// Info describes a model.
type Info struct {
	Name      string
	Params    int64    // the number of weights, without learned positions; tied ones count once
	DType     string   // of the matrices: "f16", "q8" or "q4"
	Context   int      // the longest sequence, in tokens; 2^28 if the context has no end
	VocabSize int      // all ids are below it
	System    string   // the usual system message
	Sampling  Sampling // the usual settings
}

// Info returns the model's description.
func (m *Model) Info() Info {
	c := m.bundle.Config
	return Info{c.Name, c.Params, c.DType, c.Model.Longest(), c.Model.VocabSize, c.System, Sampling(c.Sampling)}
}

// ContinuesText reports whether this is a base model: it continues text and does not answer messages.
func (m *Model) ContinuesText() bool { return m.engine.ContinuesText() }

// Threads waits until the model is ready and returns how many threads compute, 0 if the weights are damaged.
func (m *Model) Threads() int {
	if m.Ready() != nil {
		return 0
	}
	return m.engine.Threads()
}

// Encode returns the ids of a text. Nothing in it becomes a control token.
func (m *Model) Encode(text string) []int { return m.engine.Tokenizer.Encode(text) }

// Decode returns the text of ids; control tokens stand for no text. Ids must be below Info's VocabSize.
func (m *Model) Decode(ids []int) string { return m.engine.Tokenizer.Decode(ids) }

// Logits returns the logits that follow ids, one per token of the vocabulary, before any setting of a Sampling. There may be as
// many ids as the context has tokens. For several sequences, or one that grows, use a Session.
func (m *Model) Logits(ctx context.Context, ids []int) ([]float32, error) {
	s, err := m.NewSession()
	if err != nil {
		return nil, err
	}
	return s.Logits(ctx, ids)
}

// Session is a sequence of ids that grows and changes, with what the model keeps of it (a KV cache). Only one goroutine may use
// it.
type Session struct{ sequence *engine.Sequence }

// NewSession waits until the model is ready and makes an empty sequence.
func (m *Model) NewSession() (*Session, error) {
	sequence, err := m.engine.NewSequence()
	if err != nil {
		return nil, err
	}
	return &Session{sequence}, nil
}

// Logits is Model's Logits. The beginning that ids and those of the call before have in common is not computed again, which
// changes no bit of the result. The slice is valid until the next call.
func (s *Session) Logits(ctx context.Context, ids []int) ([]float32, error) {
	return s.sequence.Logits(ctx, ids)
}

// Extend returns the logits that follow the sequence with ids appended: those that Logits would return for all of it, which
// need not be given again, nor compared. If the context has no end, the sequence may have up to 2^28 tokens.
func (s *Session) Extend(ctx context.Context, ids []int) ([]float32, error) {
	return s.sequence.Extend(ctx, ids)
}

// Reset forgets the sequence.
func (s *Session) Reset() { s.sequence.Reset() }
