package repl

import (
	"math"
	"strconv"
	"strings"

	"minitron/internal/bundle"
	"minitron/internal/chat"
)

// setting is a number that a person may set. Its name is that of the flag that sets it too, but for temperature: that flag is
// --temp, and find knows both.
type setting struct {
	name   string
	within bundle.Range
	whole  bool
	get    func(c *chat.Chat) float64
	set    func(c *chat.Chat, value float64)
}

// settings holds the settings of /set. A seed has more digits than a float64 and is handled separately.
var settings = []setting{
	{"temperature", bundle.Bounds.Temperature, false,
		func(c *chat.Chat) float64 { return c.Sampling.Temperature },
		func(c *chat.Chat, v float64) { c.Sampling.Temperature = v }},
	{"top-k", bundle.Bounds.TopK, true,
		func(c *chat.Chat) float64 { return float64(c.Sampling.TopK) },
		func(c *chat.Chat, v float64) { c.Sampling.TopK = int(v) }},
	{"top-p", bundle.Bounds.TopP, false,
		func(c *chat.Chat) float64 { return c.Sampling.TopP },
		func(c *chat.Chat, v float64) { c.Sampling.TopP = v }},
	{"min-p", bundle.Bounds.MinP, false,
		func(c *chat.Chat) float64 { return c.Sampling.MinP },
		func(c *chat.Chat, v float64) { c.Sampling.MinP = v }},
	{"repeat-penalty", bundle.Bounds.RepeatPenalty, false,
		func(c *chat.Chat) float64 { return c.Sampling.RepeatPenalty },
		func(c *chat.Chat, v float64) { c.Sampling.RepeatPenalty = v }},
	{"max-tokens", bundle.Bounds.MaxTokens, true,
		func(c *chat.Chat) float64 { return float64(c.Sampling.MaxTokens) },
		func(c *chat.Chat, v float64) { c.Sampling.MaxTokens = int(v) }},
	{name: "seed"},
}

// find returns the setting with a name; max_tokens means max-tokens, and temp temperature.
func find(name string) (setting, bool) {
	name = strings.ReplaceAll(strings.ToLower(name), "_", "-")
	if name == "temp" {
		name = "temperature"
	}
	for _, s := range settings {
		if s.name == name {
			return s, true
		}
	}
	return setting{}, false
}

// now returns the current value as text.
func (s setting) now(c *chat.Chat) string {
	if s.get == nil {
		return strconv.FormatUint(c.Seed(), 10)
	}
	return number(s.get(c))
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// change sets a value and reports whether text is a valid one.
func (s setting) change(c *chat.Chat, text string) bool {
	if s.set == nil {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err == nil {
			c.SetSeed(seed)
		}
		return err == nil
	}
	v, err := strconv.ParseFloat(strings.ReplaceAll(text, ",", "."), 64) // a Russian writes 0,7
	if err != nil || !s.within.Holds(v) || s.whole && v != math.Trunc(v) {
		return false
	}
	s.set(c, v)
	return true
}

// bounds returns the lowest and the highest value as text.
func (s setting) bounds() (low, high string) {
	if s.set == nil {
		return "0", strconv.FormatUint(math.MaxUint64, 10)
	}
	return number(s.within[0]), number(s.within[1])
}

// set shows or sets one setting, or shows all.
func (r *repl) set(rest string) {
	name, value, _ := strings.Cut(rest, " ")
	if name == "" {
		for _, s := range settings {
			r.say("%-15s %s", s.name, s.now(r.chat))
		}
		return
	}
	s, known := find(name)
	if !known {
		r.say(r.Lang.NoSetting, name)
		var all []string
		for _, s := range settings {
			all = append(all, s.name)
		}
		if near := nearest(name, all); near != "" {
			r.say(r.Lang.Nearest, near)
		}
		return
	}
	if r.change("/set "+s.name, s, strings.TrimSpace(value)) {
		r.say("%s: %s", s.name, s.now(r.chat))
	}
}

// change sets a setting, unless text is empty. If text is no valid value, it says so and ok is false.
func (r *repl) change(command string, s setting, text string) (ok bool) {
	if text == "" || s.change(r.chat, text) {
		return true
	}
	low, high := s.bounds()
	r.say(r.Lang.NotANumber, command, low, high)
	return false
}

func (r *repl) temperature(text string) {
	if s, _ := find("temperature"); r.change("/temp", s, text) {
		r.say(r.Lang.Temperature, r.chat.Sampling.Temperature)
	}
}

func (r *repl) maxTokens(text string) {
	if s, _ := find("max-tokens"); r.change("/max_tokens", s, text) {
		r.say(r.Lang.MaxTokens, r.chat.Sampling.MaxTokens)
	}
}
