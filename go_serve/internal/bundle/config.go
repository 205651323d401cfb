package bundle

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"strings"

	"minitron/internal/fault"
)

// Version is the bundle format that this program reads (docs/formats.md).
const Version = 2

// Shape is what the transformer looks like.
type Shape struct {
	Arch      string  `json:"arch"` // "llama" or "nanogpt"
	Layers    int     `json:"n_layers"`
	Heads     int     `json:"n_heads"`
	KVHeads   int     `json:"n_kv_heads"`
	Dim       int     `json:"d_model"`
	FFDim     int     `json:"d_ff"`
	VocabSize int     `json:"vocab_size"`
	Context   int     `json:"context"` // tokens
	RopeTheta float64 `json:"rope_theta"`
	NormEps   float64 `json:"norm_eps"`
	QKNorm    bool    `json:"qk_norm"`
	Bias      bool    `json:"bias"`
	LogitCap  float64 `json:"logit_cap"` // logits become cap·tanh(logit / cap); 0 is off
}

// HeadDim returns the width of one attention head.
func (s Shape) HeadDim() int { return s.Dim / s.Heads }

// KVDim returns the width of the keys (and of the values) of one position in one layer.
func (s Shape) KVDim() int { return s.KVHeads * s.HeadDim() }

// Payload describes one of the two other files.
type Payload struct {
	Bytes  int64  `json:"bytes"`
	CRC32  string `json:"crc32"`  // IEEE, 8 lower-case hex digits
	SHA256 string `json:"sha256"` // 64 lower-case hex digits
}

// Tensor is one row of the table of weights.bin.
type Tensor struct {
	Name   string
	DType  string // "f32" of a vector; "f16", "q8" or "q4" of a matrix, which lies in panels
	Shape  []int  // [out, in] or [out]
	Offset int64  // bytes from the start of the file
	Bytes  int64
}

// Elements returns the number of values, without those that fill up panels.
func (t Tensor) Elements() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// Sampling holds the defaults that the model was exported with.
type Sampling struct {
	Temperature   float64 `json:"temperature"`    // 0 is greedy
	TopK          int     `json:"top_k"`          // 0 is off
	TopP          float64 `json:"top_p"`          // 1 is off
	MinP          float64 `json:"min_p"`          // 0 is off
	RepeatPenalty float64 `json:"repeat_penalty"` // 1 is off
	MaxTokens     int     `json:"max_tokens"`
}

// Selftest is one recorded output: from the prompt IDs greedy decoding gives Greedy, and the first logits of the last
// prompt position are Logits.
type Selftest struct {
	IDs, Greedy []int
	Logits      []float32
}

// Made tells where the bundle comes from.
type Made struct {
	Minitron string   `json:"minitron"`
	Recipe   string   `json:"recipe"`
	Stage    string   `json:"stage"`
	Trained  string   `json:"trained"` // when training ended; "" when it is not known
	Date     string   `json:"date"`    // of the export
	Sources  []Source `json:"sources"`
}

// Source is data that the model learnt from.
type Source struct {
	Name    string `json:"name"`
	Licence string `json:"licence"`
	Address string `json:"address"`
}

// About is what the owner of the model says of it.
type About struct {
	Version string `json:"version"` // of the model
	Licence string `json:"licence"`
	Icon    string `json:"icon"` // PNG in base64; "" when there is none
}

// Template says what stands around a person's text before the model continues it.
type Template string

const (
	ChatML  Template = "chatml" // the markers of a dialogue
	RawText Template = "text"   // nothing: a base model
)

// Config is config.json, checked.
type Config struct {
	Name      string
	Template  Template
	Model     Shape
	DType     string // of the matrices: "f16", "q8" or "q4"
	Params    int64  // all weights but learned positions, tied ones once
	Weights   Payload
	Vocab     Payload
	Tensors   []Tensor
	System    string // the default system message; empty: none is sent
	Greeting  string
	Questions []string // what a person may ask first
	Sampling  Sampling
	Selftest  []Selftest
	Made      Made
	About     About
}

// Bounds that keep every product of two sizes far from overflow and refuse what nobody would mean.
const (
	maxContext    = 1 << 20
	maxDim        = 1 << 16
	maxLayers     = 1 << 10
	maxVocabSize  = 1 << 20
	maxQuestions  = 100
	maxLineBytes  = 1000
	maxLogitCap   = 1 << 20
	maxStateBytes = 4 << 30 // of a sequence at full context: keys, values, attention weights
)

// parseConfig reads config.json. What it says about the other files is not yet compared with them.
func parseConfig(data []byte) (*Config, error) {
	top, failed := parseFields(data)
	if err := checkOwnCRC(top, data); err != nil {
		return nil, err
	}
	if format := top.text("format"); *failed == nil && format != "minitron-bundle" {
		top.fail("format", fmt.Sprintf("is %.100q, it must be \"minitron-bundle\"", format))
	}
	if version := top.integer("version", 0, math.MaxInt32); *failed == nil && version != Version {
		return nil, versionError(version)
	}
	c := &Config{
		Name:     top.line("name"),
		Template: parseTemplate(top),
		Model:    parseShape(top.object("model")),
		DType:    top.text("dtype"),
		Params:   top.integer("params", 1, math.MaxInt64),
		Weights:  parsePayload(top.object("weights")),
		Vocab:    parsePayload(top.object("vocab")),
	}
	if *failed == nil && !slices.Contains(dtypes, c.DType) {
		top.fail("dtype", fmt.Sprintf("is %.100q, this program reads \"f16\", \"q8\" and \"q4\"", c.DType))
	}
	for t := range top.objects("tensors") {
		c.Tensors = append(c.Tensors, Tensor{
			Name:   t.text("name"),
			DType:  t.text("dtype"),
			Shape:  list[int](t, "shape", "a list of whole numbers", 2),
			Offset: t.integer("offset", 0, math.MaxInt64),
			Bytes:  t.integer("bytes", 1, math.MaxInt64),
		})
	}
	chat := top.object("chat")
	c.System, c.Greeting = chat.text("system"), chat.text("greeting")
	if chat.has("questions") {
		c.Questions = list[string](chat, "questions", "a list of strings", maxQuestions)
	}
	c.Sampling = parseSampling(top.object("sampling"))
	for s := range top.objects("selftest") {
		c.Selftest = append(c.Selftest, parseSelftest(s, c.Model))
	}
	made := top.object("made")
	c.Made = Made{Minitron: made.text("minitron"), Recipe: made.text("recipe"), Stage: made.text("stage"), Date: made.text("date")}
	if made.has("trained") {
		c.Made.Trained = made.text("trained")
	}
	if made.has("sources") {
		for s := range made.objects("sources") {
			c.Made.Sources = append(c.Made.Sources, Source{s.text("name"), s.text("licence"), s.text("address")})
		}
	}
	if top.has("about") {
		about := top.object("about")
		c.About = About{about.text("version"), about.text("licence"), about.text("icon")}
	}
	if *failed != nil {
		return nil, *failed
	}
	return c, nil
}

// checkOwnCRC compares config.json with the checksum in its last field, which is of all bytes before that field. Without the
// field nothing is compared: whoever writes the file by hand leaves it out.
func checkOwnCRC(top fields, data []byte) error {
	if *top.failed != nil || !top.has("crc32") {
		return nil
	}
	want := top.text("crc32")
	if *top.failed != nil || !areHexDigits(want, 8) {
		top.fail("crc32", "is not 8 lower-case hex digits")
		return *top.failed
	}
	before := data[:max(0, bytes.LastIndex(data, []byte(`"crc32"`)))]
	if got := fmt.Sprintf("%08x", crc32.ChecksumIEEE(before)); got != want {
		return fault.New(hintAgain+"; if you changed it on purpose, leave out its last field, \"crc32\"",
			"config.json is damaged (its checksum is %s, it says %s)", got, want)
	}
	return nil
}

// parseTemplate reads what older bundles lack: those are all of dialogues.
func parseTemplate(top fields) Template {
	if !top.has("template") {
		return ChatML
	}
	t := Template(top.text("template"))
	if *top.failed == nil && t != ChatML && t != RawText {
		top.fail("template", fmt.Sprintf("is %.100q, this program knows \"chatml\" and \"text\"", string(t)))
	}
	return t
}

func parseShape(f fields) Shape {
	s := Shape{
		Arch:      f.text("arch"),
		Layers:    int(f.integer("n_layers", 1, maxLayers)),
		Heads:     int(f.integer("n_heads", 1, maxDim)),
		KVHeads:   int(f.integer("n_kv_heads", 1, maxDim)),
		Dim:       int(f.integer("d_model", 1, maxDim)),
		FFDim:     int(f.integer("d_ff", 1, 4*maxDim)),
		VocabSize: int(f.integer("vocab_size", 1, maxVocabSize)),
		Context:   int(f.integer("context", 2, maxContext)),
		RopeTheta: f.number("rope_theta", 0, 1e12),
		NormEps:   f.number("norm_eps", 0, 1),
		QKNorm:    f.flag("qk_norm"),
		Bias:      f.flag("bias"),
	}
	if f.has("logit_cap") {
		s.LogitCap = f.number("logit_cap", 0, maxLogitCap)
	}
	if *f.failed != nil {
		return Shape{}
	}
	switch {
	case s.Arch != "llama" && s.Arch != "nanogpt":
		f.fail("arch", fmt.Sprintf("is %.100q, this program knows \"llama\" and \"nanogpt\"", s.Arch))
	case s.Dim%s.Heads != 0:
		f.fail("n_heads", fmt.Sprintf("is %d, it does not divide d_model %d", s.Heads, s.Dim))
	case s.Heads%s.KVHeads != 0:
		f.fail("n_kv_heads", fmt.Sprintf("is %d, it does not divide n_heads %d", s.KVHeads, s.Heads))
	case s.Arch == "llama" && s.HeadDim()%2 != 0:
		f.fail("n_heads", fmt.Sprintf("gives heads of the odd width %d, rotary positions need an even one", s.HeadDim()))
	case s.Arch == "llama" && s.RopeTheta < 1:
		f.fail("rope_theta", fmt.Sprintf("is %v, it must be at least 1", s.RopeTheta))
	case s.Arch == "llama" && s.Bias:
		f.fail("bias", "is true, a llama has none")
	case s.Arch == "nanogpt" && s.KVHeads != s.Heads:
		f.fail("n_kv_heads", fmt.Sprintf("is %d, a nanogpt has as many as n_heads %d", s.KVHeads, s.Heads))
	case s.Arch == "nanogpt" && s.QKNorm:
		f.fail("qk_norm", "is true, a nanogpt has none")
	case 8*s.Layers*s.KVDim()+64*s.Heads > maxStateBytes/s.Context: // bytes per position
		f.fail("context", fmt.Sprintf("is %d, the cache of keys and values would be larger than 4 GB", s.Context))
	}
	return s
}

func parsePayload(f fields) Payload {
	p := Payload{f.integer("bytes", 1, math.MaxInt64), f.text("crc32"), f.text("sha256")}
	if *f.failed == nil && !areHexDigits(p.CRC32, 8) {
		f.fail("crc32", "is not 8 lower-case hex digits")
	}
	if *f.failed == nil && !areHexDigits(p.SHA256, 64) {
		f.fail("sha256", "is not 64 lower-case hex digits")
	}
	return p
}

func areHexDigits(s string, digits int) bool {
	return len(s) == digits && strings.Trim(s, "0123456789abcdef") == ""
}

func parseSampling(f fields) Sampling {
	s := Sampling{
		Temperature:   f.number("temperature", 0, 100),
		TopK:          int(f.integer("top_k", 0, maxVocabSize)),
		TopP:          f.number("top_p", 0, 1),
		MinP:          f.number("min_p", 0, 1),
		RepeatPenalty: f.number("repeat_penalty", 0, 100),
		MaxTokens:     int(f.integer("max_tokens", 1, maxContext)),
	}
	if *f.failed == nil && s.TopP == 0 {
		f.fail("top_p", "is 0, it must be above 0")
	}
	if *f.failed == nil && s.RepeatPenalty == 0 {
		f.fail("repeat_penalty", "is 0, it must be above 0")
	}
	return s
}

func parseSelftest(f fields, shape Shape) Selftest {
	s := Selftest{
		IDs:    list[int](f, "ids", "a list of whole numbers", shape.Context),
		Greedy: list[int](f, "greedy", "a list of whole numbers", shape.Context),
		Logits: list[float32](f, "logits", "a list of numbers", shape.VocabSize),
	}
	if *f.failed != nil {
		return s
	}
	switch {
	case len(s.IDs) == 0:
		f.fail("ids", "is empty")
	case len(s.IDs)+len(s.Greedy) > shape.Context:
		f.fail("greedy", fmt.Sprintf("goes past the context of %d tokens", shape.Context))
	}
	for _, id := range slices.Concat(s.IDs, s.Greedy) {
		if id < 0 || id >= shape.VocabSize {
			f.fail("ids", fmt.Sprintf("or \"greedy\" holds the id %d, the vocabulary has %d pieces", id, shape.VocabSize))
		}
	}
	return s
}
