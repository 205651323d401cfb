//go:build js && wasm

package main

import (
	"context"
	"encoding/json"
	"syscall/js"

	"minitron-chat/internal/chat"
)

func (e *engine) describe() any { return map[string]any{"name": e.model.Config.Name} }

// chat answers a request of OpenAI's form in a goroutine of its own.
func (e *engine) chat(id int, body []byte, onChunk js.Value) {
	ctx, cancel := context.WithCancel(context.Background())
	e.cancel[id] = cancel
	go func() {
		defer func() {
			cancel()
			delete(e.cancel, id)
			onChunk.Invoke(nil)
		}()
		e.turn <- struct{}{} // one answer at a time
		defer func() { <-e.turn }()
		send := func(chunk any) error {
			onChunk.Invoke(marshal(chunk))
			e.browser.breathe()
			return ctx.Err()
		}
		var r struct {
			Messages    []chat.Message `json:"messages"`
			Temperature *float64       `json:"temperature"`
			Seed        uint64         `json:"seed"`
			MaxTokens   int            `json:"max_tokens"`
		}
		json.Unmarshal(body, &r)
		s := e.model.Config.Sampling
		if r.Temperature != nil {
			s.Temperature = *r.Temperature
		}
		if r.MaxTokens > 0 {
			s.MaxTokens = r.MaxTokens
		}
		c := e.model.New("", s, r.Seed)
		last, err := c.Resume(r.Messages)
		if err == nil {
			var a chat.Answer
			a, err = c.Say(breathing{ctx, e.browser}, last, func(part string) {
				send(map[string]any{"choices": []any{map[string]any{"delta": map[string]any{"content": part}}}})
			})
			_ = a
		}
		if err != nil {
			send(map[string]any{"error": map[string]any{"message": sentence(err), "code": "error"}})
		}
	}()
}

// stop ends an answer early, or before it began.
func (e *engine) stop(id int) {
	if cancel := e.cancel[id]; cancel != nil {
		cancel()
	}
}
