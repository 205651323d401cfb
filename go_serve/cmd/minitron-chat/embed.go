package main

import (
	_ "embed"
	"os"
	"runtime/debug"

	"minitron/internal/bundle"
	"minitron/internal/chat"
	"minitron/internal/fault"
	"minitron/internal/lang"
	"minitron/internal/weights"
)

// The model. In the source tree these files are empty: the build lays the three files of an export over them
// (bundle/README.md). As strings they lie in read-only pages of the executable and are used there, which an embed.FS, that
// copies what it gives, would not allow.
var (
	//go:embed bundle/config.json
	embeddedConfig string
	//go:embed bundle/vocab.json
	embeddedVocab string
	//go:embed bundle/weights.bin
	embeddedWeights string
)

// openBundle opens the model of --model, or the one inside the program; nothing has looked at its weights yet. It stays
// open as long as the program runs.
func openBundle(o *options) (*bundle.Bundle, error) {
	if o.set["model"] {
		if info, err := os.Stat(o.model); err != nil || !info.IsDir() {
			return nil, fault.New("name a directory with config.json, vocab.json and weights.bin", "there is no directory %s", o.model)
		}
		return bundle.Open(os.DirFS(o.model))
	}
	if embeddedConfig == "" {
		s := lang.Detect()
		return nil, fault.New(s.NoModelHint, "%s", s.NoModel)
	}
	return bundle.Open(weights.Strings{"config.json": embeddedConfig, "vocab.json": embeddedVocab, "weights.bin": embeddedWeights})
}

// load makes the engine, which is not ready yet.
func load(o *options) (*chat.Engine, error) {
	// The garbage collector rests until then: hardly anything becomes garbage while a model is loaded, and looking for it
	// would delay the prompt by half.
	percent := debug.SetGCPercent(-1)
	b, err := openBundle(o)
	if err != nil {
		return nil, err
	}
	engine, err := chat.NewEngine(b, o.threads)
	if err != nil {
		return nil, err
	}
	if o.set["system"] && engine.ContinuesText() {
		return nil, fault.New("leave out --system", "this is a base model: it continues text and has no system message")
	}
	go func() {
		engine.Ready()
		debug.SetGCPercent(percent)
	}()
	return engine, nil
}
