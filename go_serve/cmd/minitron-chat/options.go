package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"minitron/internal/bundle"
	"minitron/internal/server"
)

const usage = `minitron-chat - talk with a small language model

usage:
  minitron-chat                     chat in the terminal
  minitron-chat -p TEXT             one answer on standard output; of a base model, how the text goes on. What is piped in
                                    stands before TEXT; -p - is that alone
  minitron-chat web                 chat on a page in your browser
  minitron-chat serve               answer programs: OpenAI's API and ollama's, on this machine
  minitron-chat info [--json]       what model this is
  minitron-chat selftest            check the program against recorded answers
  minitron-chat bench [--json]      measure the speed
  minitron-chat tokenize            {"text": ...} or {"b64": ...} per line -> {"ids": [...]}
  minitron-chat logits              {"ids": [...]} per line -> {"logits": [...]} after the last id
  minitron-chat complete            {"messages": [...], "max_tokens": N} per line -> {"text", "ids", "stopped"};
                                    of a base model {"text": ..., "max_tokens": N} too

for every command:
  --model DIR           use the bundle in DIR, not the one inside the program
  --threads N           how many cores to use (default: by the size of the model)
  --kernel NAME         which instructions to use (default: MINITRON_KERNEL, else the best that this machine has)
  --version, --help

for the chat, -p, web, serve and complete (defaults: the model's own; complete: --temp 0):
  --system TEXT         what the model is told first (not for complete, and not with a base model)
  --temp T              temperature; 0 is always the likeliest token
  --top-k K             draw from the K likeliest only; 0 is off
  --top-p P             draw from the likeliest that make up the part P; 1 is off
  --min-p M             drop what is less likely than M times the likeliest; 0 is off
  --repeat-penalty R    make what the answer already holds less likely; 1 is off
  --max-tokens N        the longest answer, in tokens
  --seed S              the same seed gives the same answer (default: a new one each time)

for web:
  --no-open             do not open the browser; the address is printed

for serve:
  --addr HOST:PORT      where to listen (default 127.0.0.1:8080); anywhere but on this machine needs a key
  --key KEY             what clients must send (default: MINITRON_KEY in the environment, else none)
  --origin URL          let the pages of this address ask too, such as http://localhost:3000; may be given several times
  --truncation auto     forget the oldest turns of a chat that outgrows the context (default: disabled, it is refused)

for web and serve:
  --slots N             conversations that are answered at once and stay warm (default: as many as fit into 512 MB, at most 64)
  --queue N             requests that may wait for their turn (default 64)

for bench:
  --prompt-tokens N     tokens read (default 256)
  --gen-tokens N        tokens written (default 128)
  --repeat R            how often; medians are shown (default 3)
  --bandwidth           measure too how fast these cores read memory, which limits writing

The program downloads nothing, sends nothing anywhere and counts nobody: no telemetry. It opens a network port only for web
and serve, and only for this machine, unless serve is given another address and a key. What you type in the terminal, and how
you label answers there, is kept in your settings folder, for you alone; MINITRON_HISTORY=off in the environment keeps nothing.
`

// options is a parsed command line.
type options struct {
	command string          // "" is the chat
	set     map[string]bool // the flags that were given

	model, text, system, kernel        string
	addr, key, truncation              string
	origins                            []string
	slots, queue                       int
	noOpen                             bool
	temp, topP, minP, repeatPenalty    float64
	topK, maxTokens, threads           int
	seed                               uint64
	json, help, version, bandwidth     bool
	benchPrompt, benchGen, benchRepeat int
}

// The flags that commands take: samplingFlags with answers, commonFlags always, and commandFlags by command, beyond
// commonFlags.
var (
	samplingFlags = []string{"temp", "top-k", "top-p", "min-p", "repeat-penalty", "max-tokens", "seed"}
	commonFlags   = []string{"model", "threads", "kernel", "help", "h", "version"}
	commandFlags  = map[string][]string{
		"":         append([]string{"p", "system"}, samplingFlags...),
		"complete": samplingFlags,
		"web":      append([]string{"system", "no-open", "slots", "queue"}, samplingFlags...),
		"serve":    append([]string{"system", "addr", "key", "origin", "truncation", "slots", "queue"}, samplingFlags...),
		"info":     {"json"},
		"bench":    {"json", "prompt-tokens", "gen-tokens", "repeat", "bandwidth"},
		"selftest": {}, "tokenize": {}, "logits": {},
	}
)

// parseOptions reads a command line; flags may stand before and after the command.
func parseOptions(args []string) (*options, error) {
	o := &options{set: make(map[string]bool)}
	flags := o.flagSet()
	for given := false; ; given = true {
		if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
			o.help = true
			return o, nil
		} else if err != nil {
			return nil, flagError(flags, err)
		}
		if flags.NArg() == 0 {
			break
		}
		if given {
			return nil, usageError{fmt.Sprintf("unexpected argument %q", flags.Arg(0))}
		}
		o.command = flags.Arg(0)
		if _, known := commandFlags[o.command]; !known || o.command == "" {
			return nil, usageError{fmt.Sprintf("there is no command %q", o.command)}
		}
		args = flags.Args()[1:]
	}
	flags.Visit(func(f *flag.Flag) { o.set[f.Name] = true })
	return o, o.check()
}

func (o *options) flagSet() *flag.FlagSet {
	flags := flag.NewFlagSet("minitron-chat", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&o.model, "model", "", "")
	flags.StringVar(&o.text, "p", "", "")
	flags.StringVar(&o.system, "system", "", "")
	flags.Float64Var(&o.temp, "temp", 0, "")
	flags.IntVar(&o.topK, "top-k", 0, "")
	flags.Float64Var(&o.topP, "top-p", 1, "")
	flags.Float64Var(&o.minP, "min-p", 0, "")
	flags.Float64Var(&o.repeatPenalty, "repeat-penalty", 1, "")
	flags.IntVar(&o.maxTokens, "max-tokens", 0, "")
	flags.Uint64Var(&o.seed, "seed", 0, "")
	flags.IntVar(&o.threads, "threads", 0, "")
	flags.StringVar(&o.kernel, "kernel", "", "")
	flags.StringVar(&o.addr, "addr", "", "")
	flags.StringVar(&o.key, "key", "", "")
	flags.Func("origin", "", func(text string) error { o.origins = append(o.origins, text); return nil })
	flags.StringVar(&o.truncation, "truncation", "disabled", "")
	flags.IntVar(&o.slots, "slots", 0, "")
	flags.IntVar(&o.queue, "queue", 0, "")
	flags.BoolVar(&o.noOpen, "no-open", false, "")
	flags.BoolVar(&o.bandwidth, "bandwidth", false, "")
	flags.BoolVar(&o.json, "json", false, "")
	flags.BoolVar(&o.version, "version", false, "")
	flags.IntVar(&o.benchPrompt, "prompt-tokens", 256, "")
	flags.IntVar(&o.benchGen, "gen-tokens", 128, "")
	flags.IntVar(&o.benchRepeat, "repeat", 3, "")
	return flags
}

// The errors of the flag package, which it makes as text alone.
var (
	flagUnknown  = regexp.MustCompile(`(?s)^flag provided but not defined: -(.*)$`)
	flagSyntax   = regexp.MustCompile(`(?s)^bad flag syntax: (.*)$`)
	flagNoValue  = regexp.MustCompile(`^flag needs an argument: -(.*)$`)
	flagBadValue = regexp.MustCompile(`^invalid (?:boolean )?value (".*") for (?:flag )?-([a-z-]+): (.*)$`)
)

// flagKinds says what the value of a flag must be, by its type in Go.
var flagKinds = map[string]string{"float64": "a number", "int": "a whole number", "uint64": "a whole number from 0 on", "bool": "true or false"}

// flagError says an error of the flag package in this program's words.
func flagError(flags *flag.FlagSet, err error) error {
	text := err.Error()
	if found := flagUnknown.FindStringSubmatch(text); found != nil {
		text = "there is no flag " + dashed(found[1])
	} else if found := flagSyntax.FindStringSubmatch(text); found != nil {
		text = "there is no flag " + found[1]
	} else if found := flagNoValue.FindStringSubmatch(text); found != nil {
		text = dashed(found[1]) + " needs a value"
	} else if found := flagBadValue.FindStringSubmatch(text); found != nil {
		value, name, why := found[1], found[2], found[3]
		kind := fmt.Sprintf("%T", flags.Lookup(name).Value.(flag.Getter).Get())
		text = fmt.Sprintf("%s %s is not %s", dashed(name), value, flagKinds[kind])
		if why == "value out of range" {
			text = fmt.Sprintf("%s %s is out of range", dashed(name), value)
		}
	}
	return usageError{text}
}

// dashed returns a flag as the help writes it: -p, --temp.
func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// check refuses flags of another command and values out of bounds.
func (o *options) check() error {
	for _, name := range slices.Sorted(maps.Keys(o.set)) {
		if !slices.Contains(commonFlags, name) && !slices.Contains(commandFlags[o.command], name) {
			where := strings.TrimSpace("minitron-chat " + o.command)
			return usageError{fmt.Sprintf("%s takes no flag %s", where, dashed(name))}
		}
	}
	numbers := []struct {
		name   string
		value  float64
		within bundle.Range
	}{
		{"temp", o.temp, bundle.Bounds.Temperature},
		{"top-k", float64(o.topK), bundle.Bounds.TopK},
		{"top-p", o.topP, bundle.Bounds.TopP},
		{"min-p", o.minP, bundle.Bounds.MinP},
		{"repeat-penalty", o.repeatPenalty, bundle.Bounds.RepeatPenalty},
		{"max-tokens", float64(o.maxTokens), bundle.Bounds.MaxTokens},
		{"threads", float64(o.threads), bundle.Range{1, 256}},
		{"slots", float64(o.slots), bundle.Range{1, 1024}},
		{"queue", float64(o.queue), bundle.Range{1, 1 << 16}},
		{"prompt-tokens", float64(o.benchPrompt), bundle.Range{1, 1 << 20}},
		{"gen-tokens", float64(o.benchGen), bundle.Range{1, 1 << 20}},
		{"repeat", float64(o.benchRepeat), bundle.Range{1, 1000}},
	}
	for _, n := range numbers {
		if o.set[n.name] && !n.within.Holds(n.value) {
			return usageError{fmt.Sprintf("--%s is %s, it must be within %s..%s", n.name, plain(n.value), plain(n.within[0]), plain(n.within[1]))}
		}
	}
	if o.truncation != "auto" && o.truncation != "disabled" {
		return usageError{fmt.Sprintf("--truncation is %q, it must be auto or disabled", o.truncation)}
	}
	for _, origin := range o.origins {
		if !server.IsOrigin(origin) {
			return usageError{fmt.Sprintf("--origin %s is not the address of a site, such as http://localhost:3000 (or null, for pages opened from files)", origin)}
		}
	}
	if o.set["p"] && o.text == "" {
		return usageError{"-p needs a text"}
	}
	return nil
}

// plain writes a number without an exponent.
func plain(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// sampling returns the model's own settings with those of the command line over them.
func (o *options) sampling(s bundle.Sampling) bundle.Sampling {
	if o.set["temp"] {
		s.Temperature = o.temp
	}
	if o.set["top-k"] {
		s.TopK = o.topK
	}
	if o.set["top-p"] {
		s.TopP = o.topP
	}
	if o.set["min-p"] {
		s.MinP = o.minP
	}
	if o.set["repeat-penalty"] {
		s.RepeatPenalty = o.repeatPenalty
	}
	if o.set["max-tokens"] {
		s.MaxTokens = o.maxTokens
	}
	return s
}

// seedOrRandom returns --seed, or a fresh one.
func (o *options) seedOrRandom() uint64 {
	if o.set["seed"] {
		return o.seed
	}
	return rand.Uint64()
}
