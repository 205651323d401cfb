package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"runtime"
	"strings"

	"minitron-chat/internal/bundle"
	"minitron-chat/internal/chat"
	"minitron-chat/internal/fault"
	"minitron-chat/internal/kernel"
	"minitron-chat/internal/sample"
)

// information is what `info --json` shows.
type information struct {
	Name     string         `json:"name"`
	Model    bundle.Shape   `json:"model"`
	DType    string         `json:"dtype"`
	Params   int64          `json:"params"`
	Weights  bundle.Payload `json:"weights"`
	Vocab    bundle.Payload `json:"vocab"`
	Verified bool           `json:"verified"` // both digests were computed again and agree
	Kernel   string         `json:"kernel"`   // what would compute here
	Format   int            `json:"format_version"`
	Program  string         `json:"program_version"`
	Go       string         `json:"go"`
	Platform string         `json:"platform"`
	Made     bundle.Made    `json:"made"`
}

// info says what model this is. It reads the weights once, for their digest.
func info(o *options, stdout io.Writer) error {
	b, err := openBundle(o)
	if err != nil {
		return err
	}
	if err := b.VerifySHA256(); err != nil {
		return err
	}
	c := b.Config
	i := information{c.Name, c.Model, c.DType, c.Params, c.Weights, c.Vocab, true, kernel.Name(), bundle.Version,
		version, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH, c.Made}
	if o.json {
		return json.NewEncoder(stdout).Encode(i)
	}
	s := c.Model
	_, err = fmt.Fprintf(stdout, `name        %s
shape       %s: %d layers, %d heads (%d for keys and values), width %d, inner width %d
vocabulary  %d pieces, %d bytes, sha256 %s
context     %d tokens
weights     %d parameters as %s, %d bytes, sha256 %s
made        %s, recipe %s, stage %s, minitron %s
kernel      %s (this machine has: %s)
program     %s (bundle format %d, %s, %s)
`, i.Name, s.Arch, s.Layers, s.Heads, s.KVHeads, s.Dim, s.FFDim,
		s.VocabSize, c.Vocab.Bytes, c.Vocab.SHA256, s.Context, c.Params, c.DType, c.Weights.Bytes, c.Weights.SHA256,
		c.Made.Date, c.Made.Recipe, c.Made.Stage, c.Made.Minitron,
		i.Kernel, strings.Join(kernel.Names(), ", "), version, bundle.Version, i.Go, i.Platform)
	return err
}

// logitTolerance is how far a logit may be from the recorded one, by dtype: the exporter computes in another order, and in
// q8 and q4 the last bit of that may round an activation the other way.
var logitTolerance = map[string]float64{"f16": 0.02, "q8": 0.5, "q4": 0.5}

// selftest replays what the exporter recorded.
func selftest(o *options, stdout io.Writer) error {
	b, err := openBundle(o)
	if err != nil {
		return err
	}
	if err := b.VerifySHA256(); err != nil {
		return err
	}
	engine, err := chat.NewEngine(b, o.threads)
	if err != nil {
		return err
	}
	tokens, worst := 0, 0.0
	for n, test := range engine.Config.Selftest {
		difference, err := replay(engine, test)
		if err != nil {
			return fault.New("copy the program again; if that does not help, please report it", "self-test %d of %d failed: %w", n+1, len(engine.Config.Selftest), err)
		}
		tokens += len(test.Greedy)
		worst = max(worst, difference)
	}
	_, err = fmt.Fprintf(stdout, "ok: checksums agree; kernel %s; %d prompts, %d tokens the same, logits within %.4f\n", kernel.Name(), len(engine.Config.Selftest), tokens, worst)
	return err
}

// replay computes one recorded output again and returns the largest difference of a logit.
func replay(engine *chat.Engine, test bundle.Selftest) (worst float64, err error) {
	state, err := engine.NewState()
	if err != nil {
		return 0, err
	}
	greedy := sample.New(sample.Params{RepeatPenalty: 1}, 0, engine.Tokenizer.Size(), engine.NeverSampled())
	ids := test.IDs
	for step := 0; ; step++ {
		logits, err := state.Logits(context.Background(), ids)
		if err != nil {
			return 0, err
		}
		if step == 0 {
			for i, want := range test.Logits {
				difference := math.Abs(float64(logits[i] - want))
				if !(difference <= logitTolerance[engine.Config.DType]) {
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
