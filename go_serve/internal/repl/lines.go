package repl

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"minitron/internal/edit"
)

// lines reads plain lines of any length: from a pipe, or from a terminal that cannot move its cursor.
type lines struct {
	Options
	// requests asks the reading goroutine for one line. Nothing is read ahead while the model answers, so what a person types
	// then stays in the terminal.
	requests chan struct{}
	comes    chan read
	asked    bool // a line was asked for and has not come
}

// read is a line, or why there is none: io.EOF at the end of input.
type read struct {
	text string
	err  error
}

func newLines(options Options) *lines {
	l := &lines{Options: options, requests: make(chan struct{}), comes: make(chan read, 1)}
	go l.serve()
	return l
}

// close ends the reading goroutine, unless it is in a read whose result nobody awaits any more.
func (l *lines) close() { close(l.requests) }

func (l *lines) serve() {
	in := bufio.NewReaderSize(l.In, 1<<16)
	mark := "\ufeff" // that Windows' editors put before a text
	for range l.requests {
		text, err := in.ReadString('\n')
		text, mark = strings.TrimPrefix(text, mark), ""
		if text != "" && errors.Is(err, io.EOF) {
			err = nil // a last line without its end
		}
		l.comes <- read{text, err}
	}
}

// Read shows the prompt and waits for a line. It cannot offer a text to begin with.
func (l *lines) Read(prompt, _ string, _ bool) (string, error) {
	l.show(prompt)
	if !l.asked {
		l.asked = true
		l.requests <- struct{}{}
	}
	select {
	case line := <-l.comes:
		l.asked = false
		if l.Prompt && errors.Is(line.err, io.EOF) {
			fmt.Fprintln(l.Err) // leave the line of the prompt
		}
		return strings.TrimRight(line.text, "\r\n"), line.err
	case <-l.Interrupts:
		fmt.Fprintln(l.Err)
		return "", edit.ErrInterrupted
	}
}

func (l *lines) show(prompt string) {
	if !l.Prompt {
		return
	}
	if l.Colour {
		prompt = "\x1b[1;32m" + prompt + "\x1b[0m"
	}
	fmt.Fprint(l.Err, prompt)
}
