package api

import (
	"context"
	"time"

	"minitron/internal/chat"
	"minitron/internal/engine"
)

// Line is what is sent to ollama's clients: one of a stream of JSON lines, or the whole answer.
type Line struct {
	Model     string         `json:"model"`
	CreatedAt time.Time      `json:"created_at"`
	Message   *lineMessage   `json:"message,omitempty"`  // of a chat
	Response  *string        `json:"response,omitempty"` // of a text
	Done      bool           `json:"done"`
	Reason    string         `json:"done_reason,omitempty"` // "stop", "length", or "load" where nothing was asked
	Logprobs  []tokenLogprob `json:"logprobs,omitempty"`
	*durations
	Minitron *Extra `json:"minitron,omitempty"`
}

type lineMessage struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// durations is the cost of an answer: token counts, and times in nanoseconds.
type durations struct {
	Total      int64 `json:"total_duration"`
	Load       int64 `json:"load_duration"` // the wait for a slot: the model is loaded already
	Prompt     int   `json:"prompt_eval_count"`
	PromptEval int64 `json:"prompt_eval_duration"`
	Answer     int   `json:"eval_count"`
	AnswerEval int64 `json:"eval_duration"`
}

func newDurations(c choice) *durations {
	s, waited := c.stats, c.waited.Nanoseconds()
	prefill, decode := s.Prefill.Nanoseconds(), s.Decode.Nanoseconds()
	return &durations{waited + prefill + decode, waited, s.PromptTokens, prefill, s.AnswerTokens, decode}
}

// lineForm is the shape of /api/chat and /api/generate.
type lineForm struct {
	model         string
	chat          bool // whether the text is that of a message
	wantsLogprobs bool
}

func (f lineForm) line(text string, tokens []engine.Token) *Line {
	l := &Line{Model: f.model, CreatedAt: time.Now().UTC()}
	if f.chat {
		l.Message = &lineMessage{"assistant", text}
	} else {
		l.Response = &text
	}
	if f.wantsLogprobs {
		l.Logprobs = tokenLogprobs(tokens)
	}
	return l
}

func (f lineForm) ended(c choice, text string, tokens []engine.Token) *Line {
	l := f.line(text, tokens)
	l.Done, l.Reason, l.durations, l.Minitron = true, c.finish, newDurations(c), c.extra
	return l
}

func (f lineForm) first(int) any                    { return nil }
func (f lineForm) next(_ int, part engine.Part) any { return f.line(part.Text, part.Tokens) }
func (f lineForm) last(c choice) any                { return f.ended(c, "", nil) }
func (f lineForm) usage([]choice) any               { return nil }
func (f lineForm) whole(written []choice) any {
	return f.ended(written[0], written[0].text, written[0].tokens)
}

// loaded answers a request without a prompt, which clients send to have the model loaded before they ask something.
func (f lineForm) loaded() Work {
	line := f.line("", nil)
	line.Done, line.Reason = true, "load"
	return Telling(line)
}

// OllamaChat reads the body of a POST to /api/chat; see Chat for what it returns. Unknown members are ignored, as ollama does;
// what the model cannot do is refused. If a chat outgrows the context, its oldest turns are forgotten, unless "truncate" is
// false.
func (s *Server) OllamaChat(body []byte) (Work, error) {
	f, refusal := parseFields(body)
	if refusal != nil {
		return nil, refusal
	}
	r := f.parseOllama(s.defaults())
	r.trim = f.flag("truncate", true)
	if value, ok := f.get("messages"); ok && !isEmpty(value) {
		r.messages, r.begun, _ = splitBegun(f.parseMessages())
	}
	if *f.failed != nil {
		return nil, *f.failed
	}
	form := s.newLineForm(r, true)
	if len(r.messages) == 0 && r.begun == "" {
		return s.loaded(r, form)
	}
	return s.chat(r, form)
}

// OllamaGenerate reads the body of a POST to /api/generate; see Chat for what it returns. The prompt is a message or, with
// "raw", a text to continue. For a model that continues text every prompt is such a text.
func (s *Server) OllamaGenerate(body []byte) (Work, error) {
	f, refusal := parseFields(body)
	if refusal != nil {
		return nil, refusal
	}
	f.checkMeaningless("suffix", "template", "context")
	r := f.parseOllama(s.defaults())
	r.prompt, r.trim = f.text("prompt", ""), f.flag("truncate", true)
	raw := f.flag("raw", false) || s.engine.ContinuesText()
	if system := f.text("system", ""); system != "" { // an empty one is as good as none, as in ollama
		r.messages = append(r.messages, chat.Message{Role: "system", Content: system})
	}
	if *f.failed != nil {
		return nil, *f.failed
	}
	form := s.newLineForm(r, false)
	switch {
	case r.prompt == "":
		return s.loaded(r, form)
	case raw:
		r.messages = nil
		return s.complete(r, form)
	}
	r.messages = append(r.messages, chat.Message{Role: "user", Content: r.prompt})
	r.prompt = ""
	return s.chat(r, form)
}

func (s *Server) newLineForm(r request, chat bool) lineForm {
	model := r.model
	if model == "" {
		model = s.Name() + Latest
	}
	return lineForm{model, chat, r.logprobs}
}

func (s *Server) loaded(r request, f lineForm) (Work, error) {
	if err := s.checkModel(r.model); err != nil {
		return nil, err
	}
	return f.loaded(), nil
}

// parseOllama reads the members that chats and texts have in common.
func (f fields) parseOllama(defaults settings) request {
	f.checkMeaningless("tools", "images", "format", "think")
	r := request{model: f.text("model", ""), stream: f.flag("stream", true), settings: defaults, choices: 1}
	r.logprobs = f.flag("logprobs", false)
	r.topLogprobs = f.integer("top_logprobs", 0, engine.MaxTopLogprobs, 0)
	value, ok := f.get("options")
	if !ok {
		return r
	}
	o := f.inner("options", value)
	s := &r.settings
	o.parseSampling(s)
	if predict := o.integer("num_predict", -2, maxMaxTokens, s.maxTokens); predict > 0 {
		s.maxTokens = predict
	} else { // as many tokens as fit
		s.maxTokens = maxMaxTokens
	}
	if seed, ok := o.seed("seed"); ok && seed != uint64(1<<64-1) { // -1 asks for any seed
		s.seed = seed
	}
	if value, ok := o.get("stop"); ok {
		r.stops = o.parseStops(value)
	}
	return r
}

// CheckShown reads the body of a POST to /api/show, and refuses every model but the one that is there.
func (s *Server) CheckShown(body []byte) error {
	f, refusal := parseFields(body)
	if refusal != nil {
		return refusal
	}
	name := f.text("model", f.text("name", ""))
	if *f.failed != nil {
		return *f.failed
	}
	return s.checkModel(name)
}

// Telling returns the Work that sends a value that is known already.
func Telling(value any) Work {
	return func(_ context.Context, send func(any) error) error { return send(value) }
}
