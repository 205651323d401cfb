package main

import (
	"embed"
	"io/fs"
	"os"

	"minitron-chat/internal/bundle"
	"minitron-chat/internal/chat"
	"minitron-chat/internal/fault"
	"minitron-chat/internal/lang"
)

// embedded holds the model. In the source tree it is a placeholder: the build lays the three files of an export over it
// (bundle/README.md).
//
//go:embed all:bundle
var embedded embed.FS

// modelFS returns the files of the model: those of --model, or those inside the program.
func modelFS(o *options) (fs.FS, error) {
	if o.set["model"] {
		if info, err := os.Stat(o.model); err != nil || !info.IsDir() {
			return nil, fault.New("name a directory with config.json, vocab.json and weights.bin", "there is no directory %s", o.model)
		}
		return os.DirFS(o.model), nil
	}
	inside, err := fs.Sub(embedded, "bundle")
	if err != nil {
		panic(err) // the name is a constant
	}
	if _, err := fs.Stat(inside, "config.json"); err != nil {
		s := lang.Detect()
		return nil, fault.New(s.NoModelHint, "%s", s.NoModel)
	}
	return inside, nil
}

// openBundle opens the model's files, checked but for the digests of their contents. The caller closes the bundle.
func openBundle(o *options) (fs.FS, *bundle.Bundle, error) {
	files, err := modelFS(o)
	if err != nil {
		return nil, nil, err
	}
	b, err := bundle.Open(files)
	return files, b, err
}

// load reads the whole model.
func load(o *options) (*chat.Engine, error) {
	files, err := modelFS(o)
	if err != nil {
		return nil, err
	}
	return chat.Load(files, o.threads)
}
