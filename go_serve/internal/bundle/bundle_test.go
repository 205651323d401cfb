package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"unsafe"

	"minitron/internal/fault"
	"minitron/internal/weights"
)

// tinies are bundles of all kinds.
func tinies(t testing.TB) map[string]fstest.MapFS {
	all := make(map[string]fstest.MapFS)
	for _, dtype := range weights.DTypes {
		all["llama "+dtype] = tiny(t, tinyLlama, dtype)
		all["nanogpt "+dtype] = tiny(t, tinyNanogpt, dtype)
		all["stream "+dtype] = tiny(t, tinyStream, dtype)
	}
	return all
}

// TestOpenGood opens bundles in memory, in a directory and as strings: every tensor is where the table says, and the
// strings are not copied.
func TestOpenGood(t *testing.T) {
	for name, m := range tinies(t) {
		folder := t.TempDir()
		for file := range m {
			if err := os.WriteFile(filepath.Join(folder, file), m[file].Data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		config, vocab, payload := string(m["config.json"].Data), string(m["vocab.json"].Data), string(m["weights.bin"].Data)
		inMemory, err1 := Open(m)
		onDisk, err2 := Open(os.DirFS(folder))
		embedded, err3 := Open(weights.Strings{"config.json": config, "vocab.json": vocab, "weights.bin": payload})
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, b := range []*Bundle{inMemory, onDisk, embedded} {
			if err := errors.Join(b.Verify(), b.VerifySHA256()); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			for _, tensor := range b.Config.Tensors {
				got := b.Weights.Tensor(tensor.Name)
				if string(got) != payload[tensor.Offset:tensor.Offset+tensor.Bytes] || cap(got) != len(got) {
					t.Errorf("%s: %s is not what the table says", name, tensor.Name)
				}
			}
		}
		first := embedded.Config.Tensors[0]
		if &embedded.Weights.Tensor(first.Name)[0] != unsafe.StringData(payload[first.Offset:]) {
			t.Errorf("%s: embedded weights are copied", name)
		}
		if err := errors.Join(inMemory.Close(), onDisk.Close(), embedded.Close()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestVerify puts one bad value after the other into a bundle whose checksum agrees.
func TestVerify(t *testing.T) {
	const notFinite, minus128 = "weights.bin holds values that are not finite numbers, in ", "weights.bin holds the value -128, which q8 does not have, in "
	for name, m := range tinies(t) {
		b, err := Open(m)
		if err != nil {
			t.Fatal(err)
		}
		good := m["weights.bin"].Data
		done := make(map[string]bool)
		for _, tensor := range slices.Backward(b.Config.Tensors) { // one of each type: the last one
			if done[tensor.DType] {
				continue
			}
			done[tensor.DType] = true
			bad := map[int64]string{} // the last byte of a value -> what is said
			switch n := tensor.Bytes; tensor.DType {
			case "f32":
				bad = map[int64]string{3: notFinite, n - 1: notFinite}
			case "f16":
				bad = map[int64]string{1: notFinite, 13: notFinite, n - 1: notFinite}
			case "q8":
				bad = map[int64]string{1: notFinite, n - 544 + 31: notFinite, 32: minus128, n - 1: minus128}
			case "q4":
				bad = map[int64]string{1: notFinite, n - 288 + 31: notFinite, 40: "", n - 1: ""}
			}
			for at, want := range bad {
				data := slices.Clone(good)
				end := tensor.Offset + at
				switch want {
				case minus128:
					data[end] = 0
				default: // infinity
					data[end], data[end-1] = 0x7f, 0x80
					if tensor.DType != "f32" {
						data[end], data[end-1] = 0xfc, 0
					}
				}
				damaged := maps.Clone(m)
				damaged["config.json"] = &fstest.MapFile{Data: m["config.json"].Data}
				damaged["weights.bin"] = &fstest.MapFile{Data: data}
				resign(t, damaged, "weights", data)
				err := openAt(t, damaged)
				if want == "" && err == nil {
					continue
				}
				if err == nil || err.Error() != fmt.Sprintf("%s%q", want, tensor.Name) || fault.Hint(err) == "" {
					t.Errorf("%s: byte %d of %s: %v", name, at, tensor.Name, err)
				}
			}
		}
	}
}

// TestEveryFieldMissing deletes each field of config.json and of vocab.json, one at a time, and gives it a null.
func TestEveryFieldMissing(t *testing.T) {
	var paths func(prefix string, tree map[string]any) []string
	paths = func(prefix string, tree map[string]any) (all []string) {
		for key, value := range tree {
			all = append(all, prefix+key)
			switch v := value.(type) {
			case map[string]any:
				all = append(all, paths(prefix+key+".", v)...)
			case []any:
				if inner, ok := v[0].(map[string]any); ok {
					all = append(all, paths(prefix+key+"[0].", inner)...)
				}
			}
		}
		return all
	}
	optional := []string{"template", "model.logit_cap", "about", "chat.questions", "made.trained", "made.sources"}
	for name, least := range map[string]int{"config.json": 53, "vocab.json": 16} {
		good := files(t)[name].Data
		var tree map[string]any
		if err := json.Unmarshal(good, &tree); err != nil {
			t.Fatal(err)
		}
		all := paths("", tree)
		if len(all) < least {
			t.Fatalf("%s has %d fields, want at least %d", name, len(all), least)
		}
		for _, path := range all {
			for _, value := range []string{"", "null"} {
				if value == "" && slices.Contains(optional, path) {
					continue
				}
				m := files(t)
				m[name].Data = set(t, good, path, value)
				if name == "vocab.json" {
					resign(t, m, "vocab", m[name].Data)
				}
				err := openAt(t, m)
				what := map[string]string{"": "is missing", "null": "is not "}[value]
				key := path[strings.LastIndex(path, ".")+1:]
				if err == nil || !strings.Contains(err.Error(), what) || !strings.Contains(err.Error(), key) || fault.Hint(err) == "" {
					t.Errorf("%s without %s (%q): %v", name, path, value, err)
				}
			}
		}
	}
}

// TestSaidByTheOwner reads what the program only passes on, and an older bundle that says nothing of it.
func TestSaidByTheOwner(t *testing.T) {
	m := files(t)
	b, err := Open(m)
	if err != nil {
		t.Fatal(err)
	}
	made := Made{"0.1.0", "tiny", "sft", "2026-11-20T14:00:00Z", "2026-11-20T15:00:00Z", []Source{{"jokes", "CC0", "here"}}}
	if c := b.Config; !reflect.DeepEqual(c.Made, made) || c.About != (About{"1.0", "free", "iVBORw0KGgo="}) || !slices.Equal(c.Questions, []string{"who?", "why?"}) {
		t.Errorf("%+v, %+v, %q", c.Made, c.About, c.Questions)
	}
	config := m["config.json"].Data
	for _, path := range []string{"about", "chat.questions", "made.trained", "made.sources"} {
		config = set(t, config, path, "")
	}
	m["config.json"].Data = config
	if b, err = Open(m); err != nil || b.Config.About != (About{}) || b.Config.Questions != nil || b.Config.Made.Sources != nil {
		t.Errorf("%v", err)
	}
}

// TestTemplateAndLogitCap reads the two fields, and bundles that are older than they.
func TestTemplateAndLogitCap(t *testing.T) {
	for _, test := range []struct {
		template, logitCap string
		want               Template
		wantCap            float64
	}{
		{"", "", ChatML, 0}, {`"chatml"`, "0", ChatML, 0}, {`"text"`, "30", RawText, 30}, {`"text"`, "0.5", RawText, 0.5},
	} {
		m := files(t)
		m["config.json"].Data = set(t, set(t, m["config.json"].Data, "template", test.template), "model.logit_cap", test.logitCap)
		b, err := Open(m)
		if err != nil || b.Config.Template != test.want || b.Config.Model.LogitCap != test.wantCap {
			t.Errorf("%+v: %v", test, err)
		}
	}
}

// TestImportedShape reads heads of their own width and a head that is not tied: keys that older bundles lack.
func TestImportedShape(t *testing.T) {
	shape := tinyLlama
	shape.Heads, shape.KVHeads, shape.HeadWidth, shape.UntiedHead = 5, 1, 8, true
	for _, dtype := range weights.DTypes {
		b, err := Open(tiny(t, shape, dtype))
		if err != nil || b.Verify() != nil || !reflect.DeepEqual(b.Config.Model, shape) || len(b.Weights.Tensor("lm_head.weight")) == 0 {
			t.Errorf("%s: %v", dtype, err)
		}
	}
	refusedShapes(t, shape, map[string]func(*weights.Shape){
		`"model.head_dim" is 0, it must be within 1..65536`:                                                func(s *weights.Shape) {},
		`"model.head_dim" is 65535, n_heads times that is 327675, at most 65536 are read`:                  func(s *weights.Shape) { s.HeadWidth = 65535 },
		`"model.n_heads" gives heads of the odd width 7, rotary positions need an even one`:                func(s *weights.Shape) { s.HeadWidth = 7 },
		`"model.arch" is "nanogpt", whose heads are together as wide as d_model 24 and whose head is tied`: func(s *weights.Shape) { s.Arch, s.KVHeads = "nanogpt", 5 },
	})
}

// TestStreamShape refuses a stream whose layers this program cannot compute.
func TestStreamShape(t *testing.T) {
	refusedShapes(t, tinyStream, map[string]func(*weights.Shape){
		`"model.layers" names 2 layers, n_layers is 3`:                                      func(s *weights.Shape) { s.Kinds = s.Kinds[:2] },
		`"model.layers" has more than 3 elements`:                                           func(s *weights.Shape) { s.Kinds = append(s.Kinds[:3:3], "conv") },
		`"model.layers" has "mamba", this program knows "conv", "window" and "delta"`:       func(s *weights.Shape) { s.Kinds = []string{"conv", "mamba", "x"} },
		`"model.layers" is missing`:                                                         func(s *weights.Shape) { s.Kinds = nil },
		`"model.window" is missing`:                                                         func(s *weights.Shape) { s.Window = 0 },
		`"model.window" is -1, it must be within 1..1048576`:                                func(s *weights.Shape) { s.Window = -1 },
		`"model.conv_width" is 65, it must be within 2..64`:                                 func(s *weights.Shape) { s.ConvWidth = 65 },
		`"model.bias" is true, a stream has none`:                                           func(s *weights.Shape) { s.Bias = true },
		`"model.qk_norm" is true, a stream does not have the choice`:                        func(s *weights.Shape) { s.QKNorm = true },
		`"model.n_heads" gives heads of the odd width 3, rotary positions need an even one`: func(s *weights.Shape) { s.Heads, s.KVHeads = 8, 8 },
	})
}

// refusedShapes holds that a bundle of a shape is refused for each change of it, with that sentence.
func refusedShapes(t *testing.T, shape weights.Shape, changes map[string]func(*weights.Shape)) {
	t.Helper()
	for want, change := range changes {
		m, bad := tiny(t, shape, "q8"), shape
		change(&bad)
		model, err := json.Marshal(bad)
		if err != nil {
			t.Fatal(err)
		}
		config := set(t, m["config.json"].Data, "model", string(model))
		if reflect.DeepEqual(bad, shape) {
			config = set(t, config, "model.head_dim", "0")
		}
		m["config.json"].Data = config
		if err := openAt(t, m); err == nil || err.Error() != "config.json is not usable: "+want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestHostileConfig(t *testing.T) {
	const layer2 = `"model.layers.2.input_layernorm.weight"`
	tests := []struct{ path, value, want string }{
		{"version", "1", "this bundle has format version 1, this program reads version 2"},
		{"version", "3", "this bundle has format version 3, this program reads version 2"},
		{"version", "2.5", `config.json is not usable: "version" is not a whole number`},
		{"format", `"gguf"`, `config.json is not usable: "format" is "gguf", it must be "minitron-bundle"`},
		{"dtype", `"q5"`, `config.json is not usable: "dtype" is "q5", this program reads "f16", "q8" and "q4"`},
		{"dtype", `"f32"`, `config.json is not usable: "dtype" is "f32", this program reads "f16", "q8" and "q4"`},
		{"dtype", `"q4"`, `config.json is not usable: tensor EMBED is "q8", it must be "q4"`},
		{"model.arch", `"rwkv"`, `config.json is not usable: "model.arch" is "rwkv", this program knows "llama", "nanogpt" and "stream"`},
		{"model.n_layers", "0", `config.json is not usable: "model.n_layers" is 0, it must be within 1..1024`},
		{"model.n_layers", "1e9", `config.json is not usable: "model.n_layers" is not a whole number`},
		{"model.n_layers", "1000", `config.json is not usable: its table of tensors lacks ` + layer2},
		{"model.n_heads", "5", `config.json is not usable: "model.n_heads" is 5, it does not divide d_model 24`},
		{"model.n_heads", "8", `config.json is not usable: "model.n_heads" gives heads of the odd width 3, rotary positions need an even one`},
		{"model.n_kv_heads", "3", `config.json is not usable: "model.n_kv_heads" is 3, it does not divide n_heads 4`},
		{"model.d_model", "65536", `config.json is not usable: tensor EMBED has the shape [272 24], it must be [272 65536]`},
		{"model.d_model", "9223372036854775807", `config.json is not usable: "model.d_model" is 9223372036854775807, it must be within 1..65536`},
		{"model.d_model", "9223372036854775808", `config.json is not usable: "model.d_model" is not a whole number`},
		{"model.vocab_size", "-1", `config.json is not usable: "model.vocab_size" is -1, it must be within 1..1048576`},
		{"model.context", "1048577", `config.json is not usable: "model.context" is 1048577, it must be within 2..1048576`},
		{"model.rope_theta", "0", `config.json is not usable: "model.rope_theta" is 0, it must be at least 1`},
		{"model.norm_eps", "1e400", `config.json is not usable: "model.norm_eps" is not a number`},
		{"model.bias", "true", `config.json is not usable: "model.bias" is true, a llama has none`},
		{"model.qk_norm", `"no"`, `config.json is not usable: "model.qk_norm" is not true or false`},
		{"model", `[]`, `config.json is not usable: "model" is not an object`},
		{"model.logit_cap", "-1", `config.json is not usable: "model.logit_cap" is -1, it must be within 0..1.048576e+06`},
		{"model.logit_cap", "1e7", `config.json is not usable: "model.logit_cap" is 1e+07, it must be within 0..1.048576e+06`},
		{"model.logit_cap", "1e999", `config.json is not usable: "model.logit_cap" is not a number`},
		{"model.logit_cap", `"30"`, `config.json is not usable: "model.logit_cap" is not a number`},
		{"template", `"alpaca"`, `config.json is not usable: "template" is "alpaca", this program knows "chatml" and "text"`},
		{"template", `""`, `config.json is not usable: "template" is "", this program knows "chatml" and "text"`},
		{"template", "1", `config.json is not usable: "template" is not a string`},
		{"params", "1", `config.json is not usable: it says 1 parameters, its shape has 15312`},
		{"tensors[0].name", `"x"`, `config.json is not usable: its table of tensors has "x", which a llama of this shape does not have or has once`},
		{"tensors[1].name", `EMBED`, `config.json is not usable: its table of tensors has EMBED, which a llama of this shape does not have or has once`},
		{"tensors[0].dtype", `"f16"`, `config.json is not usable: tensor EMBED is "f16", it must be "q8"`},
		{"tensors[1].dtype", `"q8"`, `config.json is not usable: tensor NORM is "q8", it must be "f32"`},
		{"tensors[0].offset", "64", `config.json is not usable: tensor EMBED begins at byte 64, it must begin at the next multiple of 64 after byte 0`},
		{"tensors[0].offset", "-64", `config.json is not usable: "tensors[0].offset" is -64, it must be within 0..9223372036854775807`},
		{"tensors[1].offset", "0", `config.json is not usable: tensor NORM begins at byte 0, it must begin at the next multiple of 64 after byte 9248`},
		{"tensors[1].offset", "9223372036854775807", `config.json is not usable: tensor NORM begins at byte 9223372036854775807, it must begin at the next multiple of 64 after byte 9248`},
		{"tensors[0].bytes", "13056", `config.json is not usable: tensor EMBED has 13056 bytes, it must have 9248`}, // as in version 1
		{"tensors[0].bytes", "0", `config.json is not usable: "tensors[0].bytes" is 0, it must be within 1..9223372036854775807`},
		{"tensors[0].bytes", "9223372036854775807", `config.json is not usable: tensor EMBED has 9223372036854775807 bytes, it must have 9248`},
		{"tensors[0].shape", "[24, 272]", `config.json is not usable: tensor EMBED has the shape [24 272], it must be [272 24]`},
		{"tensors[0].shape", "[]", `config.json is not usable: tensor EMBED has 0 dimensions, it must have 2`},
		{"tensors[0].shape", "[272, 24.0]", `config.json is not usable: "tensors[0].shape" is not a list of whole numbers`},
		{"tensors", "[]", `config.json is not usable: its table of tensors lacks EMBED`},
		{"tensors", "[1]", `config.json is not usable: "tensors" is not a list of objects`},
		{"tensors", "[null]", `config.json is not usable: "tensors" is not a list of objects`},
		{"tensors", "{}", `config.json is not usable: "tensors" is not a list of objects`},
		{"weights.bytes", "1", `config.json is not usable: tensor EMBED ends past the end of weights.bin`},
		{"weights.bytes", "9223372036854775807", `config.json is not usable: its table of tensors ends at byte SIZE, weights.bin at byte 9223372036854775807`},
		{"weights.crc32", `"89ABCDEF"`, `config.json is not usable: "weights.crc32" is not 8 lower-case hex digits`},
		{"weights.crc32", `"89abcdef"`, `weights.bin is damaged (its checksum is CRC, config.json says 89abcdef)`},
		{"about.icon", `"\"><meta http-equiv=refresh>"`, `config.json is not usable: "about.icon" is no PNG in base64`},
		{"sampling.top_p", "0", `config.json is not usable: "sampling.top_p" is 0, it must be above 0`},
		{"sampling.temperature", "-1", `config.json is not usable: "sampling.temperature" is -1, it must be within 0..100`},
		{"selftest[0].ids", "[]", `config.json is not usable: "selftest[0].ids" is empty`},
		{"selftest[0].ids", "[272]", `config.json is not usable: "selftest[0].ids" or "greedy" holds the id 272, the vocabulary has 272 pieces`},
		{"selftest[0].ids", "[1, null]", `config.json is not usable: "selftest[0].ids" is not a list of whole numbers`},
		{"selftest[0].logits", "[1e39]", `config.json is not usable: "selftest[0].logits" is not a list of numbers`},
	}
	weights := files(t)["weights.bin"].Data
	names := strings.NewReplacer("EMBED", `"model.embed_tokens.weight"`, "NORM", `"model.layers.0.input_layernorm.weight"`,
		"CRC", fmt.Sprintf("%08x", crc32.ChecksumIEEE(weights)), "SIZE", fmt.Sprint(len(weights)))
	for _, test := range tests {
		m := files(t)
		m["config.json"].Data = set(t, m["config.json"].Data, test.path, names.Replace(test.value))
		want := names.Replace(test.want)
		err := openAt(t, m)
		if err == nil || err.Error() != want {
			t.Errorf("%s = %s:\n got %v\nwant %s", test.path, test.value, err, want)
		} else if fault.Hint(err) == "" {
			t.Errorf("%s = %s: no hint", test.path, test.value)
		}
	}
}

// TestTruncated cuts each file at many lengths, and TestFlipped turns single bits: never a panic, never a success, but
// for config.json, where some bytes of its checksum's field mean nothing to a reader.
func TestTruncated(t *testing.T) {
	for _, name := range []string{"config.json", "vocab.json", "weights.bin"} {
		good := files(t)[name].Data
		for cut := 0; cut < len(good)-1; cut += 1 + len(good)/120 {
			m := files(t)
			m[name].Data = good[:cut]
			if err := openAt(t, m); err == nil || fault.Hint(err) == "" || !strings.Contains(err.Error(), name) {
				t.Fatalf("%s cut at %d: %v", name, cut, err)
			}
		}
		m := files(t)
		m[name].Data = append(slices.Clone(good), 'x')
		if err := openAt(t, m); err == nil {
			t.Errorf("%s with a byte more was opened", name)
		}
	}
}

func TestFlipped(t *testing.T) {
	for _, name := range []string{"vocab.json", "weights.bin"} {
		good := files(t)[name].Data
		for at := 0; at < len(good); at += 1 + len(good)/120 {
			m := files(t)
			m[name].Data = slices.Clone(good)
			m[name].Data[at] ^= 1 << (at % 8)
			if err := openAt(t, m); err == nil || !strings.HasPrefix(err.Error(), name+" is damaged (its checksum is ") {
				t.Fatalf("%s flipped at %d: %v", name, at, err)
			}
		}
	}
	m := files(t)
	good := seal(m["config.json"].Data)
	m["config.json"].Data = good
	want, err := Open(m)
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for at := range good {
		if at%7 > 0 && at < len(good)-40 {
			continue
		}
		m["config.json"].Data = slices.Clone(good)
		m["config.json"].Data[at] ^= 1 << (at / 7 % 8)
		b, err := Open(m)
		switch {
		case err != nil && fault.Hint(err) == "":
			t.Fatalf("config.json flipped at %d: %v has no hint", at, err)
		case err != nil:
			refused++
		case !reflect.DeepEqual(b.Config, want.Config): // in the checksum's own field nothing else can change
			t.Fatalf("config.json flipped at %d is read as something else", at)
		}
	}
	if refused < len(good)/8 {
		t.Errorf("%d flips of config.json were refused", refused)
	}
}

// TestOwnChecksum changes a text of config.json: with its checksum that is seen, without it not.
func TestOwnChecksum(t *testing.T) {
	m := files(t)
	plain := m["config.json"].Data
	sealed := seal(plain)
	tests := []struct {
		config []byte
		want   string
	}{
		{plain, ""},
		{sealed, ""},
		{append(bytes.Clone(sealed), "\n\n"...), ""},
		{bytes.Replace(plain, []byte("hello"), []byte("hullo"), 1), ""},
		{bytes.Replace(sealed, []byte("hello"), []byte("hullo"), 1), "config.json is damaged (its checksum is "},
		{bytes.Replace(sealed, []byte(`"crc32": "`), []byte(`"crc32": "0`), 1), `config.json is not usable: "crc32" is not 8 lower-case hex digits`},
		{append(bytes.Clone(plain[:len(plain)-1]), `,"crc32":null}`...), `config.json is not usable: "crc32" is not a string`},
		{append([]byte(`{"crc32":"00000000",`), plain[1:]...), "config.json is damaged (its checksum is "}, // it is the last field
	}
	for n, test := range tests {
		m["config.json"].Data = test.config
		err := openAt(t, m)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.HasPrefix(err.Error(), test.want) || fault.Hint(err) == "") {
			t.Errorf("%d: %v, want %q", n, err, test.want)
		}
	}
}

// TestDigest damages a digest that only info and selftest look at.
func TestDigest(t *testing.T) {
	for _, which := range []string{"weights", "vocab"} {
		m := files(t)
		m["config.json"].Data = set(t, m["config.json"].Data, which+".sha256", `"`+strings.Repeat("0", 64)+`"`)
		b, err := Open(m)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.VerifySHA256(); err == nil || !strings.Contains(err.Error(), "is damaged") {
			t.Errorf("%s: %v", which, err)
		}
	}
}

func TestVocab(t *testing.T) {
	tests := []struct{ path, value, want string }{
		{"kind", `"char"`, `vocab.json is not usable: "kind" is "char", this program knows "sentencepiece-bpe" and "byte-bpe"`},
		{"chat.user", "300", `vocab.json is not usable: "chat.user" is 300, it must be within 0..271`},
		{"chat.user", "1", "vocab.json is not usable: two chat markers have the id 1"},
		{"chat.user", "270", `vocab.json is not usable: the chat marker "w9" has the type 'N', it must be a control piece`},
		{"types", `"U"`, "vocab.json is not usable: it has 272 pieces and 1 types"},
		{"scores", "[]", "vocab.json is not usable: it has 272 pieces and 0 scores"},
		{"pieces", "[]", `vocab.json is not usable: "unk_id" is 0, it must be within 0..-1`},
		{"normalizer.precompiled_charsmap", `"?"`, `vocab.json is not usable: "normalizer.precompiled_charsmap" is not base64`},
	}
	for _, test := range tests {
		m := files(t)
		m["vocab.json"].Data = set(t, m["vocab.json"].Data, test.path, test.value)
		resign(t, m, "vocab", m["vocab.json"].Data)
		if err := openAt(t, m); err == nil || err.Error() != test.want {
			t.Errorf("%s = %s:\n got %v\nwant %s", test.path, test.value, err, test.want)
		}
	}
}

func TestMissingAndOddFiles(t *testing.T) {
	for _, name := range []string{"config.json", "vocab.json", "weights.bin"} {
		m := files(t)
		delete(m, name)
		if err := openAt(t, m); err == nil || err.Error() != "there is no "+name+" in the bundle" {
			t.Errorf("without %s: %v", name, err)
		}
		m[name] = &fstest.MapFile{Mode: fs.ModeNamedPipe}
		if err := openAt(t, m); err == nil || err.Error() != name+" is not a regular file" {
			t.Errorf("%s as a pipe: %v", name, err)
		}
	}
	m := files(t)
	m["config.json"].Data = make([]byte, maxConfigBytes+1)
	if err := openAt(t, m); err == nil || !strings.HasPrefix(err.Error(), "config.json is too large") {
		t.Errorf("a huge config.json: %v", err)
	}
}
