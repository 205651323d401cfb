package server

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"minitron/internal/api"
	"minitron/internal/fault"
)

// start serves on a free port until the test ends; stopped is closed when serving has ended.
func start(t *testing.T, limits times, h http.Handler) (address string, stop func(), stopped chan struct{}) {
	t.Helper()
	listener, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	stopped = make(chan struct{})
	go func() {
		defer close(stopped)
		if err := limits.serve(ctx, listener, h, t.Output()); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		stop()
		<-stopped
	})
	return listener.Addr().String(), stop, stopped
}

// exchange sends bytes and returns all that comes back until the server closes.
func exchange(t *testing.T, address, sent string) string {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	io.WriteString(conn, sent)
	got, err := io.ReadAll(conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after %.60q the connection stays open", sent)
	}
	return string(got)
}

func TestSlowAndLarge(t *testing.T) {
	quick := times{header: 50 * time.Millisecond, request: 100 * time.Millisecond, write: time.Minute, idle: 50 * time.Millisecond, grace: time.Second}
	address, _, _ := start(t, quick, &API{Server: newAPI(t), Loopback: true})
	head := "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
	tests := []struct{ name, sent, want string }{
		{"nothing", "", ""},
		{"half a header", "GET /health HTTP/1.1\r\nHost: local", ""},
		{"half a body", head + "Content-Length: 100\r\n\r\n{", "HTTP/1.1 400 "},
		{"an idle connection", "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 200 "},
		{"a huge header", "GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("x", 100_000) + "\r\n\r\n", "HTTP/1.1 431 "},
		{"a huge body", head + "Content-Length: 100000000000\r\n\r\n{", "HTTP/1.1 413 "},
		{"a wrong chunk", head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", "HTTP/1.1 400 "},
		{"two lengths", head + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 400 "},
		{"no HTTP", "hello\r\n\r\n", "HTTP/1.1 400 "},
		{"no host", "GET /health HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "},
		{"two hosts", "GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n", "HTTP/1.1 400 "},
		{"another's address in the first line", "GET http://evil.example/health HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 403 "},
	}
	for _, test := range tests {
		if got := exchange(t, address, test.sent); !strings.HasPrefix(got, test.want) || test.want == "" && got != "" && !strings.HasPrefix(got, "HTTP/1.1 408 ") {
			t.Errorf("%s: %.200q, want %q", test.name, got, test.want)
		}
	}
}

// does reads any body as that work.
func does(work api.Work) func([]byte) (api.Work, error) {
	return func([]byte) (api.Work, error) { return work, nil }
}

// TestLongAnswer takes longer than a request may, and its writing.
func TestLongAnswer(t *testing.T) {
	quick := times{header: 50 * time.Millisecond, request: 50 * time.Millisecond, write: 50 * time.Millisecond, idle: time.Minute, grace: time.Second}
	late := func(ctx context.Context, send func(any) error) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
			return send(map[string]string{"late": "yes"})
		}
	}
	address, _, _ := start(t, quick, answering(does(late)))
	response, err := http.Post("http://"+address+"/", "application/json", strings.NewReader("{}"))
	if err != nil || response.StatusCode != 200 {
		t.Fatalf("%v, %v", response, err)
	}
	response.Body.Close()
}

// TestNobodyReads asks for much and reads nothing: the server does not wait for ever.
func TestNobodyReads(t *testing.T) {
	quick := times{header: time.Minute, request: 10 * time.Millisecond, write: 10 * time.Millisecond, idle: time.Minute, grace: time.Second}
	failed := make(chan error)
	address, _, _ := start(t, quick, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		var err error
		for part := make([]byte, 1<<20); err == nil; {
			_, err = w.Write(part)
		}
		failed <- err
	}))
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

// TestDisconnectAndStop: a client that goes cancels its answer; a server that is told to stop lets the others finish, and
// cancels those that take too long.
func TestDisconnectAndStop(t *testing.T) {
	limits := usual
	limits.grace = 50 * time.Millisecond
	begun, cancelled := make(chan bool), make(chan bool)
	endless := func(ctx context.Context, _ func(any) error) error {
		begun <- true
		<-ctx.Done()
		cancelled <- true
		return ctx.Err()
	}
	address, stop, stopped := start(t, limits, answering(does(endless)))
	ask := func() net.Conn {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
		<-begun
		return conn
	}
	ask().Close()
	<-cancelled
	conn := ask()
	defer conn.Close()
	stop()
	<-cancelled
	line, _ := bufio.NewReader(conn).ReadString('\n')
	if !strings.HasPrefix(line, "HTTP/1.1 503 ") {
		t.Errorf("the last client was told %q", line)
	}
	<-stopped
	if _, err := net.Dial("tcp", address); err == nil {
		t.Error("the port is still open")
	}
}

// scarce is a listener that for some time may open no file.
type scarce struct {
	net.Listener
	refusals int
}

func (l *scarce) Accept() (net.Conn, error) {
	if l.refusals--; l.refusals >= 0 {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return l.Listener.Accept()
}

// TestTooManyConnections holds that it is told in one sentence, and over when it is over.
func TestTooManyConnections(t *testing.T) {
	plain, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var told strings.Builder
	ctx, stop := context.WithCancel(context.Background())
	stopped := make(chan error)
	go func() { stopped <- usual.serve(ctx, &scarce{plain, 3}, &API{}, &told) }()
	if got := exchange(t, plain.Addr().String(), "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 200 ") {
		t.Errorf("%q", got)
	}
	stop()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if got := told.String(); !strings.HasPrefix(got, "minitron-chat: there are more connections than files") || strings.Count(got, "\n") != 1 {
		t.Errorf("%q", got)
	}
}

func TestListen(t *testing.T) {
	address, _, _ := start(t, usual, http.NotFoundHandler())
	_, err := Listen(address)
	if err == nil || err.Error() != "the address "+address+" is in use" || fault.Hint(err) == "" {
		t.Errorf("%v", err)
	}
	for address, want := range map[string]bool{"127.0.0.1:1": true, "localhost:80": true, "[::1]:80": true, "127.9.9.9:0": true, ":80": false, "0.0.0.0:80": false, "[::]:80": false} {
		if got, err := IsLoopback(address); got != want || err != nil {
			t.Errorf("IsLoopback(%s) = %v, %v", address, got, err)
		}
	}
	for _, address := range []string{"", "8080", "127.0.0.1", "localhost:http:x", "127.0.0.1:99999"} {
		if _, err := IsLoopback(address); err == nil {
			t.Errorf("%q is taken for an address", address)
		}
	}
}

// TestListenLocally holds that the port of the last time comes back, and that nothing in the file does harm.
func TestListenLocally(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{"XDG_CONFIG_HOME", "HOME", "AppData"} {
		t.Setenv(name, folder)
	}
	t.Setenv("MINITRON_HISTORY", "")
	listen := func() int {
		t.Helper()
		listener, port, err := ListenLocally()
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(listener.Addr().String(), "127.0.0.1:") {
			t.Errorf("it listens at %v", listener.Addr())
		}
		listener.Close()
		return port
	}
	first := listen()
	if again := listen(); again != first {
		t.Errorf("port %d, then %d", first, again)
	}
	taken, err := Listen("127.0.0.1:" + strconv.Itoa(first))
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	second := listen()
	if second == first {
		t.Error("a port in use was used")
	}
	if again := listen(); again != second {
		t.Errorf("the second program had port %d, then %d", second, again)
	}
	taken.Close()
	if again := listen(); again != first {
		t.Errorf("the first program lost port %d, it has %d", first, again)
	}
	found, _ := filepath.Glob(filepath.Join(folder, "*", "web-ports"))
	if len(found) == 0 {
		found, _ = filepath.Glob(filepath.Join(folder, "*", "*", "*", "web-ports")) // macOS
	}
	if len(found) != 1 {
		t.Fatalf("the file is not there: %v", found)
	}
	for _, text := range []string{"", "x", "-5", "80", "99999", strings.Repeat("1", 1000)} {
		os.WriteFile(found[0], []byte(text), 0o600)
		if got := readPorts(found[0]); len(got) != 0 {
			t.Errorf("%q is taken for the ports %v", text, got)
		}
		listen()
	}
	os.Remove(found[0])
	t.Setenv("MINITRON_HISTORY", "off")
	listen()
	if _, err := os.Stat(found[0]); err == nil {
		t.Error("without a history the port is remembered")
	}
}
