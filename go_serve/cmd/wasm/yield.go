//go:build js && wasm

package main

import (
	"context"
	"syscall/js"
	"time"
)

// slice is how long the engine computes before it lets the browser handle its messages. A "stop" waits for as long as that, or
// as two layers of a large model take.
const slice = 10 * time.Millisecond

// browser gives the thread back to the browser. Go's runtime returns to it only when every goroutine waits. A message that we
// send to ourselves wakes ours again; a timer would sleep for 4 ms, as browsers delay nested timers.
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

// yield lets the browser handle its messages, unless it did so less than a slice ago.
func (b *browser) yield() {
	if time.Since(b.last) < slice {
		return
	}
	b.port.Call("postMessage", nil)
	<-b.awake
	b.last = time.Now()
}

// yieldingContext yields whenever its Err is called, which the model does in every layer.
type yieldingContext struct {
	context.Context
	browser *browser
}

func (c yieldingContext) Err() error {
	c.browser.yield()
	return c.Context.Err()
}
