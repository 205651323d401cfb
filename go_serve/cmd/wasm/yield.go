//go:build js && wasm

package main

import (
	"context"
	"syscall/js"
	"time"
)

// slice is how long the engine computes before it lets the browser handle its messages: what a "stop" waits for, or two
// layers of a large model.
const slice = 10 * time.Millisecond

// browser gives the thread back. Go's runtime returns to the browser only when every goroutine waits; what wakes this one
// is a message to ourselves, as a timer would sleep for 4 ms once it is nested.
type browser struct {
	port  js.Value
	awake chan struct{}
	last  time.Time
}

func newBrowser() *browser {
	channel := js.Global().Get("MessageChannel").New()
	b := &browser{port: channel.Get("port2"), awake: make(chan struct{}, 1), last: time.Now()}
	channel.Get("port1").Set("onmessage", js.FuncOf(func(js.Value, []js.Value) any {
		b.awake <- struct{}{}
		return nil
	}))
	return b
}

// yield lets the browser handle its messages if it has been waiting for a while.
func (b *browser) yield() {
	if time.Since(b.last) < slice {
		return
	}
	b.port.Call("postMessage", nil)
	<-b.awake
	b.last = time.Now()
}

// yieldingContext yields whenever it is asked whether it was cancelled: the model asks in every layer.
type yieldingContext struct {
	context.Context
	browser *browser
}

func (c yieldingContext) Err() error {
	c.browser.yield()
	return c.Context.Err()
}
