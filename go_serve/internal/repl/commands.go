package repl

import (
	"math"
	"strconv"
	"strings"
)

var commands = []string{"/help", "/reset", "/system", "/temp", "/max_tokens", "/stats", "/quit"}

// Bounds of what a person may set.
const (
	maxTemperature = 10
	maxMaxTokens   = 1 << 20
)

// command carries out a line that begins with a slash and reports whether the person leaves.
func (r *repl) command(text string) (leave bool) {
	name, rest, _ := strings.Cut(strings.TrimSpace(text), " ")
	rest = strings.TrimSpace(rest)
	switch name {
	case "/help":
		r.tell(r.Lang.Help)
	case "/reset":
		r.chat.Reset()
		r.tell(r.Lang.Reset)
	case "/system":
		r.system(rest)
	case "/temp":
		r.temperature(rest)
	case "/max_tokens":
		r.maxTokens(rest)
	case "/stats":
		r.stats()
	case "/quit":
		return true
	default:
		r.say(r.Lang.Unknown, name)
		if near := nearest(name, commands); near != "" {
			r.say(r.Lang.Nearest, near)
		}
	}
	return false
}

func (r *repl) system(text string) {
	switch {
	case text == "-":
		r.chat.SetSystem("")
		r.tell(r.Lang.SystemClear)
	case text != "":
		r.chat.SetSystem(text)
		r.tell(r.Lang.SystemSet)
	case r.chat.System() == "":
		r.tell(r.Lang.SystemNone)
	default:
		r.say(r.Lang.SystemNow, r.chat.System())
	}
}

func (r *repl) temperature(text string) {
	if text != "" {
		value, err := strconv.ParseFloat(strings.ReplaceAll(text, ",", "."), 64) // a Russian writes 0,7
		if err != nil || math.IsNaN(value) || value < 0 || value > maxTemperature {
			r.say(r.Lang.NotANumber, "/temp", 0, maxTemperature)
			return
		}
		r.chat.Sampling.Temperature = value
	}
	r.say(r.Lang.Temperature, r.chat.Sampling.Temperature)
}

func (r *repl) maxTokens(text string) {
	if text != "" {
		value, err := strconv.Atoi(text)
		if err != nil || value < 1 || value > maxMaxTokens {
			r.say(r.Lang.NotANumber, "/max_tokens", 1, maxMaxTokens)
			return
		}
		r.chat.Sampling.MaxTokens = value
	}
	r.say(r.Lang.MaxTokens, r.chat.Sampling.MaxTokens)
}

func (r *repl) stats() {
	used, context := r.chat.Tokens()
	r.say(r.Lang.Stats, r.chat.Turns(), used, context)
	if r.answered {
		s := r.last
		speed := float64(s.AnswerTokens) / max(s.Decode.Seconds(), 1e-9)
		r.say(r.Lang.LastAnswer, s.PromptTokens, s.CachedTokens, s.Prefill.Seconds(), s.AnswerTokens, speed)
	}
}

// nearest returns the word with the fewest edits to name, or "" when none is near.
func nearest(name string, words []string) string {
	best, fewest := "", 4
	for _, word := range words {
		if strings.HasPrefix(word, name) && len(name) > 1 {
			return word
		}
		if n := edits(name, word); n < fewest {
			best, fewest = word, n
		}
	}
	return best
}

// edits is the Levenshtein distance: insertions, deletions and replacements of characters.
func edits(from, to string) int {
	a, b := []rune(from), []rune(to)
	row := make([]int, len(b)+1) // row[j]: edits from a[:i] to b[:j]
	for j := range row {
		row[j] = j
	}
	for i := range a {
		diagonal := row[0]
		row[0] = i + 1
		for j := range b {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
