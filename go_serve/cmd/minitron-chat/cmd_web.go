package main

import (
	"fmt"
	"io"

	"minitron/internal/about"
	"minitron/internal/lang"
	"minitron/internal/page"
	"minitron/internal/server"
	"minitron/internal/term"
)

// web shows the chat page until Ctrl-C.
func web(o *options, stdout io.Writer) error {
	engine, err := openEngine(o)
	if err != nil {
		return err
	}
	listener, port, err := server.ListenLocally()
	if err != nil {
		return err
	}
	s := newServer(o, engine)
	model := about.Describe(engine.Config, version)
	model.Sampling, model.System, model.Seed = s.Settings.Sampling, s.Settings.System, s.Seed
	handler := &server.Web{Server: s, About: model, Files: page.Files, Port: port, Token: server.NewToken()}
	forget := func() {}
	defer func() { forget() }()
	handler.Opened = func() { forget() }
	return serveUntilStopped(engine, listener, handler, func() error {
		if _, err := fmt.Fprintf(stdout, lang.Detect().WebPage+"\n", term.Plain(engine.Config.Name), handler.Address()); err != nil {
			return err
		}
		if !o.noOpen {
			forget = server.OpenBrowser(handler.Address())
		}
		return nil
	})
}
