//go:build js && wasm

package main

import (
	"context"
	"errors"
	"syscall/js"

	"minitron/internal/api"
	"minitron/internal/chat"
)

// chat answers a request in the form of OpenAI's chats, chunk by chunk.
func (e *loaded) chat(id int, request []byte, onChunk js.Value) {
	e.work(id, onChunk, func(ctx context.Context, send func(any)) error {
		work, err := e.server.Chat(request)
		if err != nil {
			return err
		}
		return work(ctx, func(chunk any) error {
			if chunk != any(api.Waiting{}) {
				send(chunk)
			}
			return nil
		})
	})
}

// explain answers a request of internal/explain, in one chunk.
func (e *loaded) explain(id int, request []byte, onChunk js.Value) {
	e.work(id, onChunk, func(ctx context.Context, send func(any)) error {
		found, err := e.explainer.Answer(ctx, request)
		var tooLong *chat.TooLongError
		if errors.As(err, &tooLong) {
			return api.Refuse(400, "context_length_exceeded", "", "%s", err)
		}
		if err == nil {
			send(found)
		}
		return err
	})
}

// work calls do in a goroutine of its own, which stop(id) cancels. An error becomes the last chunk, in OpenAI's form.
func (e *loaded) work(id int, onChunk js.Value, do func(ctx context.Context, send func(any)) error) {
	ctx, cancel := context.WithCancel(context.Background())
	e.cancel[id] = cancel
	go func() {
		defer onChunk.Invoke(nil)
		defer delete(e.cancel, id)
		defer cancel()
		send := func(chunk any) { onChunk.Invoke(marshal(chunk)) }
		if err := do(yieldingContext{ctx, e.browser}, send); err != nil && !errors.Is(err, context.Canceled) {
			refusal := new(api.Error)
			if !errors.As(err, &refusal) {
				refusal = api.Refuse(500, "engine_failed", "", "%s", sentence(err))
			}
			send(api.ErrorBody{Error: refusal})
		}
	}()
}

// stop ends an answer early, or before it began.
func (e *loaded) stop(id int) {
	if cancel := e.cancel[id]; cancel != nil {
		cancel()
	}
}
