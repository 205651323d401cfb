//go:build js && wasm

package main

import (
	"context"
	"encoding/json"
	"syscall/js"
	"unsafe"

	"minitron/internal/about"
	"minitron/internal/api"
	"minitron/internal/bundle"
	"minitron/internal/engine"
	"minitron/internal/explain"
	"minitron/internal/fault"
	"minitron/internal/weights"
)

const (
	hintAgain = "get the file again"
	slots     = 2 // conversations whose cache is kept: only one person talks here
)

// loaded is the one model of this program. The weights come in parts, so that there are never two copies of all of them.
type loaded struct {
	config, vocab []byte
	weights       []byte // the part of weights.bin that has come, at an address that is a multiple of 64; its capacity is the whole file
	about         about.Model
	server        *api.Server
	explainer     *explain.Server
	browser       *browser
	cancel        map[int]context.CancelFunc // by id: ends an answer that is being written
}

// begin takes the two small files, and allocates the room for the large one.
func (e *loaded) begin(config, vocab []byte) error {
	var c struct {
		Weights bundle.Payload `json:"weights"`
	}
	const most = 2 << 30 // bytes; a browser gives a program 4 GB of memory at most
	if err := json.Unmarshal(config, &c); err != nil || c.Weights.Bytes < 1 || c.Weights.Bytes > most {
		return fault.New(hintAgain, "config.json is not usable")
	}
	e.config, e.vocab = config, vocab
	space := make([]byte, c.Weights.Bytes+63)
	begin := -int(uintptr(unsafe.Pointer(&space[0]))) & 63
	e.weights = space[begin : begin : begin+int(c.Weights.Bytes)]
	return nil
}

// put appends a part of weights.bin.
func (e *loaded) put(part js.Value) error {
	n := len(e.weights)
	if part.Length() > cap(e.weights)-n {
		return fault.New(hintAgain, "weights.bin is damaged (it has more than %d bytes)", cap(e.weights))
	}
	e.weights = e.weights[:n+part.Length()]
	js.CopyBytesToGo(e.weights[n:], part)
	return nil
}

// open makes the engine and waits until all weights are checked.
func (e *loaded) open() error {
	b, err := bundle.Open(weights.Strings{"config.json": inPlace(e.config), "vocab.json": inPlace(e.vocab), "weights.bin": inPlace(e.weights)})
	if err != nil {
		return err
	}
	model, err := engine.New(b, 1)
	if err != nil {
		return err
	}
	e.about = about.Describe(b.Config, version)
	e.server = api.New(model, api.Limits{Slots: slots})
	e.explainer = explain.New(model)
	e.browser, e.cancel = newBrowser(), make(map[int]context.CancelFunc)
	return model.Ready()
}

// inPlace returns bytes as a string without copying them; nobody may write to them any more.
func inPlace(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
