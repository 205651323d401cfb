package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"unicode"

	"minitron/internal/about"
	"minitron/internal/api"
	"minitron/internal/engine"
	"minitron/internal/lang"
	"minitron/internal/server"
	"minitron/internal/term"
)

// serve answers OpenAI's and ollama's clients until Ctrl-C.
func serve(o *options, stdout io.Writer) error {
	key, err := o.serverKey()
	if err != nil {
		return err
	}
	address := "127.0.0.1:8080"
	if o.set["addr"] {
		address = o.addr
	}
	loopback, err := server.IsLoopback(address)
	if err != nil {
		return usageError{fmt.Sprintf("--addr %s is no address with a port: %v", address, err)}
	}
	if !loopback && key == "" {
		return usageError{"serving others than this machine needs a key: --key KEY, or MINITRON_KEY in the environment"}
	}
	e, err := openEngine(o)
	if err != nil {
		return err
	}
	listener, err := server.Listen(address)
	if err != nil {
		return err
	}
	c := e.Config
	handler := &server.API{Server: newServer(o, e), About: about.Describe(c, version), Key: key, Loopback: loopback, Origins: o.origins}
	return serveUntilStopped(e, listener, handler, func() error {
		_, err := fmt.Fprintf(stdout, lang.Detect().Serving+"\n", term.Plain(c.Name), "http://"+listener.Addr().String()+"/v1")
		return err
	})
}

// serverKey returns the value of --key, or else of MINITRON_KEY.
func (o *options) serverKey() (string, error) {
	key, given := o.key, o.set["key"]
	if !given {
		key = os.Getenv("MINITRON_KEY")
	}
	if given && key == "" || strings.ContainsFunc(key, func(c rune) bool { return c <= ' ' || c > unicode.MaxASCII || c == 0x7f }) {
		return "", usageError{"the key must be of visible ASCII characters, without spaces"}
	}
	return key, nil
}

// newServer makes the server that answers requests, with the settings of the command line.
func newServer(o *options, e *engine.Engine) *api.Server {
	s := api.New(e, api.Limits{Slots: o.slots, Queue: o.queue})
	s.Settings.Sampling = o.sampling(s.Settings.Sampling)
	if o.set["system"] {
		s.Settings.System = o.system
	}
	s.Settings.Trim = o.truncation == "auto"
	if o.set["seed"] {
		s.Seed = &o.seed
	}
	return s
}

// serveUntilStopped waits until the model is ready, calls ready, which announces that, and answers requests until Ctrl-C, which
// returns errInterrupted, or until the system asks the program to end, which returns nil.
func serveUntilStopped(e *engine.Engine, listener net.Listener, handler http.Handler, ready func() error) error {
	defer listener.Close()
	defer term.Prepare()()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	if err := e.Ready(); err != nil {
		return err
	}
	if err := ready(); err != nil {
		return fmt.Errorf("the address cannot be written: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var got os.Signal
	go func() {
		got = <-signals
		signal.Stop(signals) // a second signal ends the program at once
		stop()
	}()
	if err := server.Serve(ctx, listener, handler); err != nil {
		return err
	}
	if got == os.Interrupt {
		return errInterrupted
	}
	return nil
}
