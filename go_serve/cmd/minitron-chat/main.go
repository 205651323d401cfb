// Command minitron-chat chats with the language model that was built into it, or with the one that --model names.
//
// It knows the commands and flags; everything else is in internal/. Only this package writes errors and exits.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"minitron/internal/bundle"
	"minitron/internal/fault"
	"minitron/internal/kernel"
	"minitron/internal/lang"
	"minitron/internal/self"
	"minitron/internal/term"
)

// version is set by the build: -ldflags "-X main.version=0.1.0".
var version = "dev"

// Exit codes.
const (
	exitError       = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// errInterrupted ends the program with exitInterrupted and without a message.
var errInterrupted = errors.New("interrupted")

// usageError is an error in the command line.
type usageError struct{ message string }

func (e usageError) Error() string { return e.message }

func main() {
	err := self.Check() // first of all: a damaged program may do anything
	if err == nil {
		err = run(os.Args[1:], os.Stdin, os.Stdout)
	}
	if err == nil {
		return
	}
	if errors.Is(err, errInterrupted) || errors.Is(err, context.Canceled) {
		os.Exit(exitInterrupted)
	}
	fmt.Fprintf(os.Stderr, "minitron-chat: error: %v\n", err)
	if hint := fault.Hint(err); hint != "" {
		fmt.Fprintf(os.Stderr, "hint: %s\n", hint)
	}
	code := exitError
	if errors.As(err, &usageError{}) {
		fmt.Fprintln(os.Stderr, "hint: run minitron-chat --help")
		code = exitUsage
	}
	term.HoldWindow(lang.Detect().PressEnter)
	os.Exit(code)
}

// chooseKernel selects the kernel that --kernel names, or else MINITRON_KERNEL. Without either, the kernel package's own choice
// stays.
func chooseKernel(o *options) error {
	name := os.Getenv("MINITRON_KERNEL")
	if o.set["kernel"] {
		name = o.kernel
	}
	if name == "" && !o.set["kernel"] {
		return nil
	}
	return kernel.Use(name)
}

// run carries out a command line.
func run(args []string, stdin *os.File, stdout io.Writer) error {
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	switch {
	case o.help:
		_, err := io.WriteString(stdout, usage)
		return err
	case o.version:
		_, err := fmt.Fprintf(stdout, "minitron-chat %s (bundle format %d)\n", version, bundle.Version)
		return err
	}
	if err := chooseKernel(o); err != nil {
		return err
	}
	switch o.command {
	case "":
		if o.set["p"] {
			return answerOnce(o, stdin, stdout)
		}
		return chatInTerminal(o, stdin, stdout)
	case "complete":
		return complete(o, stdin, stdout)
	case "tokenize":
		return tokenize(o, stdin, stdout)
	case "logits":
		return logits(o, stdin, stdout)
	case "info":
		return info(o, stdout)
	case "selftest":
		return selftest(o, stdout)
	case "bench":
		return bench(o, stdout)
	case "serve":
		return serve(o, stdout)
	case "web":
		return web(o, stdout)
	}
	panic("main: a command without code: " + o.command)
}
