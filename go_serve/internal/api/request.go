package api

import (
	"encoding/json/jsontext"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"minitron/internal/bundle"
	"minitron/internal/chat"
	"minitron/internal/engine"
)

// Bounds of a request.
const (
	maxStops     = 16 // OpenAI allows 4, but programs that write code send more
	maxStopBytes = 1 << 10
	maxMaxTokens = math.MaxInt32
	maxChoices   = 16
	maxContinued = 1 << 14 // the most tokens of an answer that no context ends: a base model's, or one by the architecture "stream"
)

// request is a parsed request of either kind: of a chat or of a completion.
type request struct {
	model        string
	stream       bool
	includeUsage bool
	settings     settings
	stops        []string
	logprobs     bool
	topLogprobs  int
	choices      int // how many answers are written, each with the next seed

	messages []chat.Message // of a chat
	begun    string         // the beginning of the answer to them, where the client gave one
	trim     bool
	prompt   string // of a completion
	echo     bool   // the prompt comes before its continuation
}

// settings says how the tokens of an answer are chosen.
type settings struct {
	Settings
	presence, frequency float64
	maxTokens           int
	seed                uint64
}

// Members that would change the answer in ways that this program does not support. They are refused unless they ask for nothing
// (null, false, "", [], {}) or for what happens anyway: one of the values named here.
var refused = map[string]string{
	"tools": "", "functions": "", "logit_bias": "", "audio": "", "prediction": "", "web_search_options": "", "suffix": "", "echo": "",
	"moderation": "", "tool_choice": "none auto", "function_call": "none auto", "best_of": "1", "modalities": `["text"]`,
	"response_format": `{"type":"text"}`,
}

// Members that do not change the answer, or that adjust features which this model does not have: OpenAI's, and what clients of
// llama.cpp, vLLM and ollama send to every server.
var ignored = []string{
	"user", "store", "metadata", "service_tier", "parallel_tool_calls", "safety_identifier", "reasoning_effort", "reasoning", "verbosity",
	"prompt_cache_key", "prompt_cache_retention", "prompt_cache_options",
	"cache_prompt", "timings_per_token", "return_progress", "keep_alive", "chat_template_kwargs", "think",
}

// Members that are read: in both kinds of requests, in chats only, in completions only.
var (
	known = []string{
		"model", "stream", "stream_options", "temperature", "top_p", "max_tokens", "seed", "stop", "presence_penalty", "frequency_penalty",
		"logprobs", "n", "top_k", "min_p", "repeat_penalty",
	}
	knownInChats       = []string{"messages", "max_completion_tokens", "top_logprobs", "truncation", "continue_final_message"}
	knownInCompletions = []string{"prompt", "echo"}
)

// checkMembers refuses members where a client would be surprised that they are ignored. more holds those that this kind of
// request has beyond known.
func (f fields) checkMembers(more []string) {
	for _, key := range f.keys {
		value := f.values[key]
		same, isRefused := refused[key]
		switch {
		case slices.Contains(known, key) || slices.Contains(more, key) || slices.Contains(ignored, key) || isEmpty(value):
		case !isRefused:
			f.fail(Refuse(400, "unknown_parameter", shorten(key), "Unrecognized request argument supplied: '%s'.", shorten(key)))
		case same == "":
			f.fail(Refuse(400, "unsupported_parameter", key, "Unsupported parameter: '%s' is not supported with this model.", key))
		case !isSame(value, same):
			f.fail(Refuse(400, "unsupported_value", key, "Unsupported value: '%s' can only be %s with this model.", key, strings.Join(strings.Fields(same), " or ")))
		}
	}
}

// checkMeaningless refuses members that would change the answer in ways that this program does not support, unless they are
// empty.
func (f fields) checkMeaningless(keys ...string) {
	for _, key := range keys {
		if value, ok := f.get(key); ok && !isEmpty(value) {
			f.fail(Refuse(400, "unsupported_parameter", f.path+key, "Unsupported parameter: '%s' is not supported with this model.", f.path+key))
		}
	}
}

// isSame reports whether a value is one of those in same, which are separated by spaces and change nothing.
func isSame(value jsontext.Value, same string) bool {
	if value.Kind() == '0' {
		number, err := strconv.ParseFloat(string(value), 64)
		want, notANumber := strconv.ParseFloat(same, 64)
		return err == nil && notANumber == nil && number == want
	}
	return slices.Contains(strings.Fields(same), strings.Trim(compact(value), `"`))
}

// shorten cuts a text that a message quotes, so that the message stays readable.
func shorten(s string) string {
	const most = 64
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + "..."
	}
	return s
}

// parseShared reads the members that both kinds have in common; defaults holds the settings for those that are missing.
func (f fields) parseShared(defaults settings) request {
	r := request{model: f.text("model", ""), stream: f.flag("stream", false), settings: defaults}
	if value, ok := f.get("stream_options"); ok {
		r.includeUsage = f.inner("stream_options", value).flag("include_usage", false)
	}
	s := &r.settings
	f.parseSampling(s)
	s.maxTokens = f.integer("max_tokens", 1, maxMaxTokens, s.maxTokens)
	r.choices = f.integer("n", 1, maxChoices, 1)
	if seed, ok := f.seed("seed"); ok {
		s.seed = seed
	}
	if value, ok := f.get("stop"); ok {
		r.stops = f.parseStops(value)
	}
	return r
}

// parseSampling reads how tokens are chosen; settings whose members are missing stay as they are.
func (f fields) parseSampling(s *settings) {
	s.Sampling.Temperature = f.number("temperature", bundle.Bounds.Temperature, s.Sampling.Temperature)
	s.Sampling.TopP = f.number("top_p", bundle.Range{0, bundle.Bounds.TopP[1]}, s.Sampling.TopP)
	s.Sampling.TopK = f.integer("top_k", 0, int(bundle.Bounds.TopK[1]), s.Sampling.TopK)
	s.Sampling.MinP = f.number("min_p", bundle.Bounds.MinP, s.Sampling.MinP)
	s.Sampling.RepeatPenalty = f.number("repeat_penalty", bundle.Bounds.RepeatPenalty, s.Sampling.RepeatPenalty)
	s.presence = f.number("presence_penalty", bundle.Range{-2, 2}, 0)
	s.frequency = f.number("frequency_penalty", bundle.Range{-2, 2}, 0)
}

func (f fields) parseStops(value []byte) (stops []string) {
	if value[0] == '"' {
		stops = []string{f.string(f.path+"stop", value)}
	} else if value[0] == '[' {
		values := f.list(f.path+"stop", value)
		if len(values) > maxStops {
			f.failValue("stop", "it must have at most %d strings.", maxStops)
			return nil
		}
		for i, v := range values {
			stops = append(stops, f.string(fmt.Sprintf("%sstop[%d]", f.path, i), v))
		}
	} else {
		f.failType(f.path+"stop", "a string or an array of strings", value)
	}
	stops = slices.DeleteFunc(stops, func(stop string) bool { return stop == "" })
	for _, stop := range stops {
		if len(stop) > maxStopBytes {
			f.failValue("stop", "a stop sequence must have at most %d bytes.", maxStopBytes)
		}
	}
	return stops
}

// parseChat reads a body of /v1/chat/completions.
func parseChat(body []byte, defaults settings) (request, *Error) {
	f, err := parseFields(body)
	if err != nil {
		return request{}, err
	}
	f.checkMembers(knownInChats)
	r := f.parseShared(defaults)
	r.settings.maxTokens = f.integer("max_completion_tokens", 1, maxMaxTokens, r.settings.maxTokens)
	r.logprobs = f.flag("logprobs", false)
	r.topLogprobs = f.integer("top_logprobs", 0, engine.MaxTopLogprobs, 0)
	if r.topLogprobs > 0 && !r.logprobs {
		f.failValue("top_logprobs", "it needs 'logprobs' to be true.")
	}
	r.trim = defaults.Trim
	switch f.text("truncation", "") {
	case "auto":
		r.trim = true
	case "disabled":
		r.trim = false
	case "":
	default:
		f.failValue("truncation", "it must be 'auto' or 'disabled'.")
	}
	r.messages = f.parseMessages()
	rest, begun, isBegun := splitBegun(r.messages)
	goesOn := f.flag("continue_final_message", isBegun)
	switch {
	case goesOn && !isBegun:
		f.failValue("continue_final_message", "there is no assistant's message at the end to continue.")
	case goesOn:
		r.messages, r.begun = rest, begun
	}
	return r, *f.failed
}

// splitBegun separates the assistant's messages at the end of a dialogue, which are the beginning of an answer, from the rest.
// System messages do not count for that: they may stand anywhere.
func splitBegun(messages []chat.Message) (rest []chat.Message, begun string, ok bool) {
	var end []string
	spoken := false // somebody spoke before the end
	for _, m := range slices.Backward(messages) {
		if m.Role == "assistant" && !spoken {
			end = append(end, m.Content)
			continue
		}
		spoken = spoken || m.Role == "user"
		rest = append(rest, m)
	}
	slices.Reverse(rest)
	slices.Reverse(end)
	return rest, chat.Lines(end...), len(end) > 0
}

// parseMessages reads the dialogue.
func (f fields) parseMessages() (messages []chat.Message) {
	value, ok := f.get("messages")
	if !ok {
		f.fail(Refuse(400, "missing_required_parameter", "messages", "Missing required parameter: 'messages'."))
		return nil
	}
	values := f.list("messages", value)
	if len(values) == 0 {
		f.failValue("messages", "it must have at least one message.")
	}
	for i, v := range values {
		if *f.failed != nil {
			return nil
		}
		path := fmt.Sprintf("messages[%d]", i)
		messages = append(messages, f.inner(path, v).parseMessage())
	}
	return messages
}

func (f fields) parseMessage() chat.Message {
	m := chat.Message{Role: f.text("role", "")}
	switch m.Role {
	case "user", "assistant", "system":
	case "developer": // the newer name
		m.Role = "system"
	case "tool", "function":
		f.failValue("role", "this model calls no tools, so there is no answer of one; it must be 'system', 'developer', 'user' or 'assistant'.")
	default:
		f.failValue("role", "it must be 'system', 'developer', 'user' or 'assistant'.")
	}
	f.checkMeaningless("tool_calls", "function_call", "audio", "images")
	value, ok := f.get("content")
	switch {
	case !ok && m.Role == "assistant": // OpenAI's API lets an assistant's content be null
	case !ok:
		f.fail(Refuse(400, "missing_required_parameter", f.path+"content", "Missing required parameter: '%scontent'.", f.path))
	case value.Kind() == '"':
		m.Content = f.string(f.path+"content", value)
	case value.Kind() == '[':
		m.Content = f.parseParts(value)
	default:
		f.failType(f.path+"content", "a string or an array of parts", value)
	}
	return m
}

// parseParts joins the texts of [{"type": "text", "text": ...}]. A plain string counts as such a part, and so does an
// assistant's refusal.
func (f fields) parseParts(value []byte) string {
	var text strings.Builder
	for i, v := range f.list(f.path+"content", value) {
		if *f.failed != nil {
			return ""
		}
		path := fmt.Sprintf("%scontent[%d]", f.path, i)
		if v.Kind() == '"' {
			text.WriteString(f.string(path, v))
			continue
		}
		part := f.inner(path, v)
		kind := part.text("type", "")
		if kind != "text" && kind != "refusal" {
			part.failValue("type", "only parts of type 'text' are supported with this model, which reads neither images nor sound.")
		}
		if !part.has(kind) {
			part.fail(Refuse(400, "missing_required_parameter", path+"."+kind, "Missing required parameter: '%s.%s'.", path, kind))
		}
		text.WriteString(part.text(kind, ""))
	}
	return text.String()
}

// parseCompletion reads a body of /v1/completions.
func parseCompletion(body []byte, defaults settings) (request, *Error) {
	f, err := parseFields(body)
	if err != nil {
		return request{}, err
	}
	f.checkMembers(knownInCompletions)
	r := f.parseShared(defaults)
	if f.has("logprobs") {
		r.logprobs = true
		r.topLogprobs = f.integer("logprobs", 0, engine.MaxTopLogprobs, 0)
	}
	r.echo = f.flag("echo", false)
	if r.echo && r.logprobs {
		f.failValue("echo", "it cannot be true with 'logprobs', which are of the continuation only.")
	}
	value, ok := f.get("prompt")
	switch {
	case !ok:
		f.fail(Refuse(400, "missing_required_parameter", "prompt", "Missing required parameter: 'prompt'."))
	case value.Kind() == '"':
		r.prompt = f.string("prompt", value)
	case value.Kind() == '[':
		values := f.list("prompt", value)
		if len(values) != 1 || values[0].Kind() != '"' {
			f.failValue("prompt", "it must be a string, or an array of one string.")
			break
		}
		r.prompt = f.string("prompt[0]", values[0])
	default:
		f.failType("prompt", "a string", value)
	}
	if r.prompt == "" {
		f.failValue("prompt", "it is empty; this model needs something to begin with.")
	}
	return r, *f.failed
}
