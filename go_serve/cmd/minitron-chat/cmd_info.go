package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"minitron/internal/about"
	"minitron/internal/bundle"
	"minitron/internal/engine"
	"minitron/internal/fault"
	"minitron/internal/kernel"
	"minitron/internal/model"
	"minitron/internal/sample"
	"minitron/internal/term"
)

// info prints a description of the model. It reads the weights once, to check their digest.
func info(o *options, stdout io.Writer) error {
	b, err := openBundle(o)
	if err != nil {
		return err
	}
	if err := b.VerifySHA256(); err != nil {
		return err
	}
	i := about.Describe(b.Config, version)
	i.Verified = true
	if o.json {
		return json.NewEncoder(stdout).Encode(i)
	}
	return printAbout(stdout, i)
}

// printAbout writes the description for people, a line for each property; properties that the model's owner left empty are left
// out.
func printAbout(out io.Writer, i about.Model) error {
	var text strings.Builder
	line := func(what, format string, values ...any) {
		fmt.Fprintf(&text, "%-12s"+format+"\n", append([]any{what}, values...)...)
	}
	s, m := i.Shape, i.Made
	line("name", "%s", i.Name) // nothing else in this line: the name is the id that the API uses
	told := func(what, text string) {
		if text != "" { // empty: the model's owner said nothing
			line(what, "%s", strings.Join(strings.Fields(text), " "))
		}
	}
	told("version", i.About.Version)
	told("licence", i.About.Licence)
	told("greeting", i.Greeting)
	told("told first", i.System)
	told("questions", strings.Join(i.Questions, " | "))
	line("shape", "%s: %d layers, %d heads (%d for keys and values), width %d, inner width %d", s.Arch, s.Layers, s.Heads, s.KVHeads, s.Dim, s.FFDim)
	told("template", map[bundle.Template]string{bundle.ChatML: "chatml: it answers messages", bundle.RawText: "text: a base model, it continues what one types"}[i.Template])
	if s.LogitCap > 0 {
		line("logit cap", "%v", s.LogitCap)
	}
	line("vocabulary", "%d pieces, %d bytes, sha256 %s", s.VocabSize, i.Vocab.Bytes, i.Vocab.SHA256)
	if s.Endless() {
		line("layers", "%s (a window of %d tokens, convolutions of %d)", strings.Join(s.Kinds, ", "), s.Window, s.ConvWidth)
		line("context", "without an end (%d tokens in training)", s.Context)
	} else {
		line("context", "%d tokens", s.Context)
	}
	line("weights", "%d parameters as %s, %d bytes, sha256 %s", i.Params, i.DType, i.Weights.Bytes, i.Weights.SHA256)
	for _, source := range m.Sources {
		line("data", "%s", strings.Join(slices.DeleteFunc([]string{source.Name, source.Licence, source.Address}, func(s string) bool { return s == "" }), ", "))
	}
	told("trained", m.Trained)
	line("made", "%s, recipe %s, stage %s, minitron %s", m.Date, m.Recipe, m.Stage, m.Minitron)
	line("kernel", "%s (this machine has: %s)", i.Kernel, strings.Join(kernel.Names(), ", "))
	line("program", "%s (bundle format %d, %s, %s)", i.Program, i.Format, i.Go, i.Platform)
	_, err := io.WriteString(out, term.Plain(text.String()))
	return err
}

// logitTolerance is how far a logit may be from the recorded one, by dtype. The exporter computes in another order, and with q8
// and q4 a difference in the last bit may round an activation the other way.
var logitTolerance = map[string]float64{"f16": 0.02, "q8": 0.5, "q4": 0.5}

// selftest computes the outputs that the exporter recorded again, and compares them.
func selftest(o *options, stdout io.Writer) error {
	b, err := openBundle(o)
	if err != nil {
		return err
	}
	if err := b.VerifySHA256(); err != nil {
		return err
	}
	e, err := engine.New(b, o.threads)
	if err != nil {
		return err
	}
	state, err := e.NewState()
	if err != nil {
		return err
	}
	tokens, worst := 0, 0.0
	for n, test := range e.Config.Selftest {
		difference, err := replay(e, state, test)
		if err != nil {
			return fault.New("copy the program again; if that does not help, please report it", "self-test %d of %d failed: %w", n+1, len(e.Config.Selftest), err)
		}
		tokens += len(test.Greedy)
		worst = max(worst, difference)
	}
	_, err = fmt.Fprintf(stdout, "ok: checksums agree; kernel %s; %d prompts, %d tokens the same, logits within %.4f\n", kernel.Name(), len(e.Config.Selftest), tokens, worst)
	return err
}

// replay computes one recorded output again and returns the largest difference between a logit and the recorded one. It fails
// if a token differs, or a logit by more than its tolerance.
func replay(e *engine.Engine, state *model.State, test bundle.Selftest) (worst float64, err error) {
	state.Truncate(0)
	greedy := sample.New(sample.Params{RepeatPenalty: 1}, 0, e.Tokenizer.Size(), e.NeverSampled())
	ids := test.IDs
	for step := 0; ; step++ {
		logits, err := state.Logits(context.Background(), ids)
		if err != nil {
			return 0, err
		}
		if step == 0 {
			for i, want := range test.Logits {
				difference := math.Abs(float64(logits[i] - want))
				if !(difference <= logitTolerance[e.Config.DType]) {
					return 0, fmt.Errorf("logit %d is %v, it was %v", i, logits[i], want)
				}
				worst = max(worst, difference)
			}
		}
		if step == len(test.Greedy) {
			return worst, nil
		}
		if got, want := greedy.Next(logits, nil), test.Greedy[step]; got != want {
			return 0, fmt.Errorf("token %d is %d, it was %d", step, got, want)
		}
		ids = append(ids[:len(ids):len(ids)], test.Greedy[step])
	}
}
