//go:build js && wasm

package main

import (
	"context"
	"errors"
	"syscall/js"

	"minitron/internal/api"
)

// chat answers a request of OpenAI's form, in a goroutine of its own; stop(id) ends it.
func (e *loaded) chat(id int, request []byte, onChunk js.Value) {
	ctx, cancel := context.WithCancel(context.Background())
	e.cancel[id] = cancel
	go func() {
		defer onChunk.Invoke(nil)
		defer delete(e.cancel, id)
		defer cancel()
		work, err := e.server.Chat(request)
		if err == nil {
			err = work(yieldingContext{ctx, e.browser}, func(chunk any) error {
				if chunk != any(api.Waiting{}) {
					onChunk.Invoke(marshal(chunk))
				}
				return nil
			})
		}
		if err != nil && !errors.Is(err, context.Canceled) {
			refusal := new(api.Error)
			if !errors.As(err, &refusal) {
				refusal = api.Refuse(500, "engine_failed", "", "%s", sentence(err))
			}
			onChunk.Invoke(marshal(api.ErrorBody{Error: refusal}))
		}
	}()
}

// stop ends an answer early, or before it began.
func (e *loaded) stop(id int) {
	if cancel := e.cancel[id]; cancel != nil {
		cancel()
	}
}
