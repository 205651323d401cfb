//go:build js && wasm

// Command wasm is the engine for a browser's worker. `minitron html` puts it into the one file that it writes, beside the page.
//
//	GOOS=js GOARCH=wasm go build -o engine.wasm ./cmd/wasm
//
// It sets one object, `minitron`, on the worker's global scope; worker.js is its only caller. There is one thread. The engine
// gives it back to the browser every few milliseconds, so that "stop" is heard in the middle of an answer.
package main

import (
	"encoding/json"
	"runtime/debug"
	"syscall/js"

	"minitron/internal/fault"
)

// version is set by the build: -ldflags "-X main.version=0.1.0".
var version = "dev"

func main() {
	// The model takes most of the memory and is never garbage. At the usual 100% the collector would start only after as much
	// garbage as the model's size had piled up.
	debug.SetGCPercent(25)
	var e loaded
	object := map[string]any{
		// begin(config, vocab): the two small files, as Uint8Array.
		"begin": function(func(args []js.Value) error { return e.begin(bytesOf(args[0]), bytesOf(args[1])) }),
		// put(part): the next part of weights.bin.
		"put": function(func(args []js.Value) error { return e.put(args[0]) }),
		// open(): all files have come; makes the engine.
		"open": function(func([]js.Value) error { return e.open() }),
		// about(): the description of the model, as JSON.
		"about": js.FuncOf(func(js.Value, []js.Value) any { return marshal(e.about) }),
		// chat(id, request, onChunk): onChunk gets the JSON of each chunk, then null.
		"chat": js.FuncOf(func(_ js.Value, args []js.Value) any {
			e.chat(args[0].Int(), []byte(args[1].String()), args[2])
			return nil
		}),
		// explain(id, request, onChunk): the same for requests of internal/explain, which have one chunk.
		"explain": js.FuncOf(func(_ js.Value, args []js.Value) any {
			e.explain(args[0].Int(), []byte(args[1].String()), args[2])
			return nil
		}),
		// stop(id): ends an answer early.
		"stop": js.FuncOf(func(_ js.Value, args []js.Value) any {
			e.stop(args[0].Int())
			return nil
		}),
	}
	js.Global().Set("minitron", object)
	select {} // from here on only the browser's calls do something
}

// function makes a function for JavaScript that returns null, or what went wrong as {message, code}.
func function(do func(args []js.Value) error) js.Func {
	return js.FuncOf(func(_ js.Value, args []js.Value) any {
		if err := do(args); err != nil {
			return map[string]any{"message": sentence(err), "code": "damaged_model"}
		}
		return nil
	})
}

// sentence is an error with its hint.
func sentence(err error) string {
	if hint := fault.Hint(err); hint != "" {
		return err.Error() + "; " + hint
	}
	return err.Error()
}

// bytesOf copies a Uint8Array.
func bytesOf(array js.Value) []byte {
	data := make([]byte, array.Length())
	js.CopyBytesToGo(data, array)
	return data
}

func marshal(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // our own types are JSON
	}
	return string(text)
}
