package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"minitron/internal/fault"
)

const maxHeaderBytes = 1 << 14

// times holds the time limits of a connection.
type times struct {
	header  time.Duration
	request time.Duration // header and body; an answer may take longer
	write   time.Duration // of a response; answers extend it with every part
	idle    time.Duration
	grace   time.Duration // for answers being written when the server is told to stop
}

var usual = times{header: 10 * time.Second, request: 30 * time.Second, write: writeTimeout, idle: 2 * time.Minute, grace: 3 * time.Second}

// The errors by which Windows says that an address is in use or forbidden (WSAEADDRINUSE, WSAEACCES).
const (
	windowsInUse     = syscall.Errno(10048)
	windowsForbidden = syscall.Errno(10013)
)

// Listen opens a port.
func Listen(address string) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE), errors.Is(err, windowsInUse):
		return nil, fault.New("end the program that uses it, or choose another port: --addr 127.0.0.1:8081", "the address %s is in use", address)
	case errors.Is(err, syscall.EACCES), errors.Is(err, windowsForbidden):
		return nil, fault.New("choose a port above 1023", "this address may not be used: %s", address)
	case err != nil:
		return nil, fault.New("give an address of this machine with a port, such as 127.0.0.1:8080", "it is not possible to listen at %s: %w", address, err)
	}
	return listener, nil
}

// Serve answers requests until ctx is cancelled; answers that are being written then have a moment to finish.
func Serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	return usual.serve(ctx, listener, handler, os.Stderr)
}

func (t times) serve(ctx context.Context, listener net.Listener, handler http.Handler, messages io.Writer) error {
	answers, stop := context.WithCancel(context.Background())
	defer stop()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	s := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: t.header,
		ReadTimeout:       t.request,
		WriteTimeout:      t.request + t.write,
		IdleTimeout:       t.idle,
		MaxHeaderBytes:    maxHeaderBytes,
		Protocols:         protocols,
		BaseContext:       func(net.Listener) context.Context { return answers },
		ErrorLog:          log.New(&errorLog{out: messages}, "", 0),

		DisableGeneralOptionsHandler: true,
	}
	failed := make(chan error, 1)
	go func() { failed <- s.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), t.grace)
	defer cancel()
	if s.Shutdown(grace) != nil { // somebody is still writing
		stop()
		last, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		s.Shutdown(last)
		s.Close()
	}
	return nil
}

// errorLog gets the lines that net/http logs. One of them, that no more files can be opened, is nobody's mistake but comes
// twenty times a second. It is replaced by a sentence, which is written once.
type errorLog struct {
	out io.Writer
	one sync.Once
}

func (l *errorLog) Write(line []byte) (int, error) {
	if !bytes.HasPrefix(line, []byte("http: Accept error: ")) {
		return l.out.Write(line)
	}
	l.one.Do(func() {
		io.WriteString(l.out, "minitron-chat: there are more connections than files that may be open: new ones wait. hint: raise the limit, ulimit -n\n")
	})
	return len(line), nil
}
