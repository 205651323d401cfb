package bundle

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"strings"

	"minitron/internal/fault"
	"minitron/internal/jsonread"
	"minitron/internal/weights"
)

// Version is the bundle format that this program reads (docs/formats.md).
const Version = 2

// Payload describes vocab.json or weights.bin.
type Payload struct {
	Bytes  int64  `json:"bytes"`
	CRC32  string `json:"crc32"`  // IEEE, 8 lower-case hex digits
	SHA256 string `json:"sha256"` // 64 lower-case hex digits
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

// Range is the lowest and the highest value of a number.
type Range [2]float64

// Holds reports whether v is within the range; NaN never is.
func (r Range) Holds(v float64) bool { return v >= r[0] && v <= r[1] }

// Bounds are those of a Sampling, whoever sets it: a bundle, a flag, a request, or a person in the terminal. Some are wider where
// they would refuse what is harmless: a bundle may have any top_p and repeat penalty above 0, and programs send a top_p of 0 for
// the likeliest token, and a max_tokens beyond any context.
var Bounds = struct{ Temperature, TopK, TopP, MinP, RepeatPenalty, MaxTokens Range }{
	Temperature:   Range{0, 100},
	TopK:          Range{0, maxVocabSize},
	TopP:          Range{1e-6, 1},
	MinP:          Range{0, 1},
	RepeatPenalty: Range{0.01, 100},
	MaxTokens:     Range{1, maxContext},
}

// Selftest is one recorded output: greedy decoding after the prompt IDs gives Greedy, and the logits of the last prompt
// position begin with Logits.
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
	Model     weights.Shape
	DType     string // of the matrices: "f16", "q8" or "q4"
	Params    int64  // the number of weights, without learned positions; tied weights count once
	Weights   Payload
	Vocab     Payload
	Tensors   []weights.Tensor
	System    string // the default system message; empty: none is sent
	Greeting  string
	Questions []string // what a person may ask first
	Sampling  Sampling
	Selftest  []Selftest
	Made      Made
	About     About
}

// Bounds that keep every product of two sizes far from overflow, and refuse sizes that nobody would use.
const (
	maxContext   = 1 << 20
	maxDim       = 1 << 16
	maxLayers    = 1 << 10
	maxVocabSize = 1 << 20
	maxConvWidth = 64
	maxQuestions = 100
	maxLineBytes = 1000
	maxLogitCap  = 1 << 20
)

// parseConfig reads config.json. What it says about the other files is not yet compared with them.
func parseConfig(data []byte) (*Config, error) {
	top := jsonread.Parse(data)
	if err := checkOwnCRC(top, data); err != nil {
		return nil, err
	}
	if format := top.Text("format"); top.Err() == nil && format != "minitron-bundle" {
		top.Fail("format", "is %.100q, it must be \"minitron-bundle\"", format)
	}
	if version := top.Integer("version", 0, math.MaxInt32); top.Err() == nil && version != Version {
		return nil, versionError(version)
	}
	c := &Config{
		Name:     line(top, "name"),
		Template: parseTemplate(top),
		Model:    parseShape(top.Object("model")),
		DType:    top.Text("dtype"),
		Params:   top.Integer("params", 1, math.MaxInt64),
		Weights:  parsePayload(top.Object("weights")),
		Vocab:    parsePayload(top.Object("vocab")),
	}
	if top.Err() == nil && !slices.Contains(weights.DTypes, c.DType) {
		top.Fail("dtype", "is %.100q, this program reads \"f16\", \"q8\" and \"q4\"", c.DType)
	}
	for t := range top.Objects("tensors") {
		c.Tensors = append(c.Tensors, weights.Tensor{
			Name:   t.Text("name"),
			DType:  t.Text("dtype"),
			Shape:  t.Integers("shape", 2),
			Offset: t.Integer("offset", 0, math.MaxInt64),
			Bytes:  t.Integer("bytes", 1, math.MaxInt64),
		})
	}
	chat := top.Object("chat")
	c.System, c.Greeting = chat.Text("system"), chat.Text("greeting")
	if chat.Has("questions") {
		c.Questions = chat.Strings("questions", maxQuestions)
	}
	c.Sampling = parseSampling(top.Object("sampling"))
	for s := range top.Objects("selftest") {
		c.Selftest = append(c.Selftest, parseSelftest(s, c.Model))
	}
	made := top.Object("made")
	c.Made = Made{Minitron: made.Text("minitron"), Recipe: made.Text("recipe"), Stage: made.Text("stage"), Date: made.Text("date")}
	if made.Has("trained") {
		c.Made.Trained = made.Text("trained")
	}
	if made.Has("sources") {
		for s := range made.Objects("sources") {
			c.Made.Sources = append(c.Made.Sources, Source{s.Text("name"), s.Text("licence"), s.Text("address")})
		}
	}
	if top.Has("about") {
		about := top.Object("about")
		c.About = About{about.Text("version"), about.Text("licence"), about.Text("icon")}
		if !isIcon(c.About.Icon) {
			about.Fail("icon", "is no PNG in base64")
		}
	}
	if top.Err() != nil {
		return nil, top.Err()
	}
	return c, nil
}

// line reads text that is shown in one line.
func line(f jsonread.Object, key string) string {
	v := f.Text(key)
	if len(v) > maxLineBytes {
		f.Fail(key, "is longer than %d bytes", maxLineBytes)
		return ""
	}
	return v
}

// checkOwnCRC checks config.json against the checksum in its last field, which covers all bytes before that field. Without the
// field nothing is checked: whoever writes the file by hand leaves it out.
func checkOwnCRC(top jsonread.Object, data []byte) error {
	if top.Err() != nil || !top.Has("crc32") {
		return nil
	}
	want := top.Text("crc32")
	if top.Err() != nil || !areHexDigits(want, 8) {
		top.Fail("crc32", "is not 8 lower-case hex digits")
		return top.Err()
	}
	before := data[:max(0, bytes.LastIndex(data, []byte(`"crc32"`)))]
	if got := fmt.Sprintf("%08x", crc32.ChecksumIEEE(before)); got != want {
		return fault.New(hintAgain+"; if you changed it on purpose, leave out its last field, \"crc32\"",
			"config.json is damaged (its checksum is %s, it says %s)", got, want)
	}
	return nil
}

// parseTemplate reads the template. Older bundles lack the field: they all hold dialogue models.
func parseTemplate(top jsonread.Object) Template {
	if !top.Has("template") {
		return ChatML
	}
	t := Template(top.Text("template"))
	if top.Err() == nil && t != ChatML && t != RawText {
		top.Fail("template", "is %.100q, this program knows \"chatml\" and \"text\"", string(t))
	}
	return t
}

func parseShape(f jsonread.Object) weights.Shape {
	s := weights.Shape{
		Arch:      f.Text("arch"),
		Layers:    int(f.Integer("n_layers", 1, maxLayers)),
		Heads:     int(f.Integer("n_heads", 1, maxDim)),
		KVHeads:   int(f.Integer("n_kv_heads", 1, maxDim)),
		Dim:       int(f.Integer("d_model", 1, maxDim)),
		FFDim:     int(f.Integer("d_ff", 1, 4*maxDim)),
		VocabSize: int(f.Integer("vocab_size", 1, maxVocabSize)),
		Context:   int(f.Integer("context", 2, maxContext)),
		RopeTheta: f.Number("rope_theta", 0, 1e12),
		NormEps:   f.Number("norm_eps", 0, 1),
		QKNorm:    f.Flag("qk_norm"),
		Bias:      f.Flag("bias"),
	}
	if f.Has("head_dim") {
		s.HeadWidth = int(f.Integer("head_dim", 1, maxDim))
	}
	if f.Has("untied_head") {
		s.UntiedHead = f.Flag("untied_head")
	}
	if f.Has("logit_cap") {
		s.LogitCap = f.Number("logit_cap", 0, maxLogitCap)
	}
	if f.Err() != nil {
		return weights.Shape{}
	}
	if s.Endless() {
		parseStream(f, &s)
	}
	switch {
	case s.Arch != "llama" && s.Arch != "nanogpt" && s.Arch != "stream":
		f.Fail("arch", "is %.100q, this program knows \"llama\", \"nanogpt\" and \"stream\"", s.Arch)
	case s.HeadWidth == 0 && s.Dim%s.Heads != 0:
		f.Fail("n_heads", "is %d, it does not divide d_model %d", s.Heads, s.Dim)
	case s.QDim() > maxDim:
		f.Fail("head_dim", "is %d, n_heads times that is %d, at most %d are read", s.HeadWidth, s.QDim(), maxDim)
	case s.Heads%s.KVHeads != 0:
		f.Fail("n_kv_heads", "is %d, it does not divide n_heads %d", s.KVHeads, s.Heads)
	case s.Arch != "nanogpt" && s.HeadDim()%2 != 0:
		f.Fail("n_heads", "gives heads of the odd width %d, rotary positions need an even one", s.HeadDim())
	case s.Arch != "nanogpt" && s.RopeTheta < 1:
		f.Fail("rope_theta", "is %v, it must be at least 1", s.RopeTheta)
	case s.Arch != "nanogpt" && s.Bias:
		f.Fail("bias", "is true, a %s has none", s.Arch)
	case s.Arch == "nanogpt" && s.KVHeads != s.Heads:
		f.Fail("n_kv_heads", "is %d, a nanogpt has as many as n_heads %d", s.KVHeads, s.Heads)
	case s.Arch == "nanogpt" && (s.QDim() != s.Dim || s.UntiedHead):
		f.Fail("arch", "is \"nanogpt\", whose heads are together as wide as d_model %d and whose head is tied", s.Dim)
	case s.Arch != "llama" && s.QKNorm:
		f.Fail("qk_norm", "is true, a %s does not have the choice", s.Arch)
	}
	return s
}

// parseStream reads the fields that only the architecture "stream" has.
func parseStream(f jsonread.Object, s *weights.Shape) {
	s.Kinds = f.Strings("layers", s.Layers)
	s.Window = int(f.Integer("window", 1, maxContext))
	s.ConvWidth = int(f.Integer("conv_width", 2, maxConvWidth))
	if f.Err() != nil {
		return
	}
	if len(s.Kinds) != s.Layers {
		f.Fail("layers", "names %d layers, n_layers is %d", len(s.Kinds), s.Layers)
	}
	for _, kind := range s.Kinds {
		if kind != weights.Conv && kind != weights.Window && kind != weights.Delta {
			f.Fail("layers", "has %.100q, this program knows \"conv\", \"window\" and \"delta\"", kind)
			return
		}
	}
}

func parsePayload(f jsonread.Object) Payload {
	p := Payload{f.Integer("bytes", 1, math.MaxInt64), f.Text("crc32"), f.Text("sha256")}
	if f.Err() == nil && !areHexDigits(p.CRC32, 8) {
		f.Fail("crc32", "is not 8 lower-case hex digits")
	}
	if f.Err() == nil && !areHexDigits(p.SHA256, 64) {
		f.Fail("sha256", "is not 64 lower-case hex digits")
	}
	return p
}

func areHexDigits(s string, digits int) bool {
	return len(s) == digits && strings.Trim(s, "0123456789abcdef") == ""
}

func parseSampling(f jsonread.Object) Sampling {
	s := Sampling{
		Temperature:   f.Number("temperature", Bounds.Temperature[0], Bounds.Temperature[1]),
		TopK:          int(f.Integer("top_k", int64(Bounds.TopK[0]), int64(Bounds.TopK[1]))),
		TopP:          f.Number("top_p", 0, Bounds.TopP[1]),
		MinP:          f.Number("min_p", Bounds.MinP[0], Bounds.MinP[1]),
		RepeatPenalty: f.Number("repeat_penalty", 0, Bounds.RepeatPenalty[1]),
		MaxTokens:     int(f.Integer("max_tokens", int64(Bounds.MaxTokens[0]), int64(Bounds.MaxTokens[1]))),
	}
	if f.Err() == nil && s.TopP == 0 {
		f.Fail("top_p", "is 0, it must be above 0")
	}
	if f.Err() == nil && s.RepeatPenalty == 0 {
		f.Fail("repeat_penalty", "is 0, it must be above 0")
	}
	return s
}

func parseSelftest(f jsonread.Object, shape weights.Shape) Selftest {
	longest := min(shape.Longest(), maxContext)
	s := Selftest{
		IDs:    f.Integers("ids", longest),
		Greedy: f.Integers("greedy", longest),
		Logits: f.Floats("logits", shape.VocabSize),
	}
	if f.Err() != nil {
		return s
	}
	switch {
	case len(s.IDs) == 0:
		f.Fail("ids", "is empty")
	case len(s.IDs)+len(s.Greedy) > longest:
		f.Fail("greedy", "goes past the context of %d tokens", longest)
	}
	for _, id := range slices.Concat(s.IDs, s.Greedy) {
		if id < 0 || id >= shape.VocabSize {
			f.Fail("ids", "or \"greedy\" holds the id %d, the vocabulary has %d pieces", id, shape.VocabSize)
		}
	}
	return s
}
