package main

import (
	_ "embed"
	"io/fs"
	"os"
	"runtime/debug"

	"minitron"
	"minitron/internal/bundle"
	"minitron/internal/engine"
	"minitron/internal/fault"
	"minitron/internal/lang"
)

// The model. In the source tree these files are empty; the build replaces them by the three files of an export
// (bundle/README.md). They are strings, not an embed.FS: strings lie in read-only pages of the executable and are used in
// place, while an embed.FS copies what it returns.
var (
	//go:embed bundle/config.json
	embeddedConfig string
	//go:embed bundle/vocab.json
	embeddedVocab string
	//go:embed bundle/weights.bin
	embeddedWeights string
)

// modelFiles returns the files of the model in the directory that --model names, or else of the model inside the program.
func modelFiles(o *options) (fs.FS, error) {
	if o.set["model"] {
		if info, err := os.Stat(o.model); err != nil || !info.IsDir() {
			return nil, fault.New("name a directory with config.json, vocab.json and weights.bin", "there is no directory %s", o.model)
		}
		return os.DirFS(o.model), nil
	}
	if embeddedConfig == "" {
		s := lang.Detect()
		return nil, fault.New(s.NoModelHint, "%s", s.NoModel)
	}
	return minitron.Embedded(embeddedConfig, embeddedVocab, embeddedWeights), nil
}

// openBundle opens the bundle, for commands that compute nothing or need what only a bundle has. The weights are not checked
// yet.
func openBundle(o *options) (*bundle.Bundle, error) {
	files, err := modelFiles(o)
	if err != nil {
		return nil, err
	}
	return bundle.Open(files)
}

// openModel opens the model through the public package, for commands that need no more than other programs do.
func openModel(o *options) (*minitron.Model, error) {
	return load(o, func(files fs.FS) (*minitron.Model, error) {
		return minitron.Open(files, minitron.WithThreads(o.threads))
	})
}

// openEngine opens the engine that the terminal chat and the servers are built on.
func openEngine(o *options) (*engine.Engine, error) {
	return load(o, func(files fs.FS) (*engine.Engine, error) {
		b, err := bundle.Open(files)
		if err != nil {
			return nil, err
		}
		return engine.New(b, o.threads)
	})
}

// load opens something that becomes ready in the background, and stays open as long as the program runs.
func load[T interface {
	Ready() error
	ContinuesText() bool
}](o *options, open func(fs.FS) (T, error)) (opened T, err error) {
	// The garbage collector is off until the model is ready: hardly anything becomes garbage while a model is loaded, and
	// looking for it would make the time to the prompt half as long again.
	percent := debug.SetGCPercent(-1)
	files, err := modelFiles(o)
	if err == nil {
		opened, err = open(files)
	}
	if err != nil {
		return opened, err
	}
	if o.set["system"] && opened.ContinuesText() {
		return opened, fault.New("leave out --system", "this is a base model: it continues text and has no system message")
	}
	go func() {
		opened.Ready()
		debug.SetGCPercent(percent)
	}()
	return opened, nil
}
