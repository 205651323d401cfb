package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"minitron-chat/internal/fault"
)

// files returns the three files of a good bundle, to be damaged.
func files(t testing.TB) fstest.MapFS {
	t.Helper()
	m := make(fstest.MapFS)
	for _, name := range []string{"config.json", "vocab.json", "weights.bin"} {
		data, err := os.ReadFile("../model/testdata/llama/" + name)
		if err != nil {
			t.Fatal(err)
		}
		m[name] = &fstest.MapFile{Data: data}
	}
	return m
}

// openAt opens fsys the way the program does: from a directory, whose files can be read at any place.
func openAt(t testing.TB, m fstest.MapFS) error {
	t.Helper()
	b, err := Open(readerAtFS{m})
	if err == nil {
		b.Close()
	}
	return err
}

// readerAtFS gives the files of an fstest.MapFS the ReadAt that those of os and embed have.
type readerAtFS struct{ fstest.MapFS }

func (f readerAtFS) Open(name string) (fs.File, error) {
	file, err := f.MapFS.Open(name)
	if err != nil {
		return nil, err
	}
	return file.(interface {
		fs.File
		io.ReaderAt
	}), nil
}

// config edits config.json as a tree; set takes a path such as "model.n_layers" and a JSON value, "" to delete.
func set(t testing.TB, data []byte, path, value string) []byte {
	t.Helper()
	var tree map[string]any
	if err := json.Unmarshal(data, &tree); err != nil {
		t.Fatal(err)
	}
	node := tree
	keys := strings.Split(path, ".")
	for _, key := range keys[:len(keys)-1] {
		if name, _, isList := strings.Cut(key, "[0]"); isList {
			node = node[name].([]any)[0].(map[string]any)
		} else {
			node = node[key].(map[string]any)
		}
	}
	last := keys[len(keys)-1]
	if value == "" {
		delete(node, last)
	} else {
		node[last] = json.RawMessage(value)
	}
	out, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestOpenGood(t *testing.T) {
	b, err := Open(readerAtFS{files(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.VerifySHA256(); err != nil {
		t.Error(err)
	}
	if got, want := b.Config.Model.KVDim(), 24; got != want {
		t.Errorf("KVDim = %d, want %d", got, want)
	}
	if got, want := Params(b.Config.Model), int64(17016); got != want {
		t.Errorf("Params = %d, want %d", got, want)
	}
	// The tensor arrives whole, whatever the size of the buffer.
	var small, large []byte
	name := "model.layers.1.mlp.down_proj.weight"
	for size, into := range map[int]*[]byte{7: &small, 1 << 16: &large} {
		if err := b.ReadTensor(name, make([]byte, size), func(chunk []byte) { *into = append(*into, chunk...) }); err != nil {
			t.Fatal(err)
		}
	}
	if len(small) != 24*40*2 || string(small) != string(large) {
		t.Errorf("a tensor of %d bytes came as %d and as %d", 24*40*2, len(small), len(large))
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
	for name, least := range map[string]int{"config.json": 45, "vocab.json": 16} {
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

// resign makes config.json agree with changed data of "vocab" or "weights".
func resign(t testing.TB, m fstest.MapFS, which string, data []byte) {
	t.Helper()
	c := m["config.json"].Data
	sum := sha256.Sum256(data)
	c = set(t, c, which+".bytes", fmt.Sprint(len(data)))
	c = set(t, c, which+".crc32", fmt.Sprintf("%q", fmt.Sprintf("%08x", crc32.ChecksumIEEE(data))))
	m["config.json"].Data = set(t, c, which+".sha256", fmt.Sprintf("%q", hex.EncodeToString(sum[:])))
}

func TestHostileConfig(t *testing.T) {
	tests := []struct{ path, value, want string }{
		{"version", "2", "this bundle has format version 2, this program reads version 1"},
		{"version", "1.5", `config.json is not usable: "version" is not a whole number`},
		{"format", `"gguf"`, `config.json is not usable: "format" is "gguf", it must be "minitron-bundle"`},
		{"dtype", `"q8"`, `config.json is not usable: "dtype" is "q8", this program reads "f16"`},
		{"model.arch", `"rwkv"`, `config.json is not usable: "model.arch" is "rwkv", this program knows "llama" and "nanogpt"`},
		{"model.n_layers", "0", `config.json is not usable: "model.n_layers" is 0, it must be within 1..1024`},
		{"model.n_layers", "1e9", `config.json is not usable: "model.n_layers" is not a whole number`},
		{"model.n_layers", "1000", `config.json is not usable: its table of tensors lacks "model.layers.2.input_layernorm.weight"`},
		{"model.n_heads", "5", `config.json is not usable: "model.n_heads" is 5, it does not divide d_model 24`},
		{"model.n_heads", "8", `config.json is not usable: "model.n_heads" gives heads of the odd width 3, rotary positions need an even one`},
		{"model.n_kv_heads", "3", `config.json is not usable: "model.n_kv_heads" is 3, it does not divide n_heads 4`},
		{"model.d_model", "65536", `config.json is not usable: tensor "model.embed_tokens.weight" has the shape [272 24], it must be [272 65536]`},
		{"model.d_model", "9223372036854775807", `config.json is not usable: "model.d_model" is 9223372036854775807, it must be within 1..65536`},
		{"model.d_model", "9223372036854775808", `config.json is not usable: "model.d_model" is not a whole number`},
		{"model.vocab_size", "-1", `config.json is not usable: "model.vocab_size" is -1, it must be within 1..1048576`},
		{"model.context", "1048577", `config.json is not usable: "model.context" is 1048577, it must be within 2..1048576`},
		{"model.rope_theta", "0", `config.json is not usable: "model.rope_theta" is 0, it must be above 0`},
		{"model.norm_eps", "1e400", `config.json is not usable: "model.norm_eps" is not a number`},
		{"model.bias", "true", `config.json is not usable: "model.bias" is true, a llama has none`},
		{"model.qk_norm", `"no"`, `config.json is not usable: "model.qk_norm" is not true or false`},
		{"params", "1", `config.json is not usable: it says 1 parameters, its shape has 17016`},
		{"tensors[0].name", `"x"`, `config.json is not usable: its table of tensors has "x", which a llama of this shape does not have or has once`},
		{"tensors[0].dtype", `"f32"`, `config.json is not usable: tensor "model.embed_tokens.weight" is "f32", it must be "f16"`},
		{"tensors[0].offset", "64", `config.json is not usable: tensor "model.embed_tokens.weight" begins at byte 64, it must begin at the next multiple of 64 after byte 0`},
		{"tensors[0].bytes", "9223372036854775807", `config.json is not usable: tensor "model.embed_tokens.weight" has 9223372036854775807 bytes, it must have 13056`},
		{"tensors[0].shape", "[24, 272]", `config.json is not usable: tensor "model.embed_tokens.weight" has the shape [24 272], it must be [272 24]`},
		{"tensors", "[]", `config.json is not usable: its table of tensors lacks "model.embed_tokens.weight"`},
		{"weights.bytes", "1", `config.json is not usable: tensor "model.embed_tokens.weight" ends past the end of weights.bin`},
		{"weights.bytes", "34464", `config.json is not usable: its table of tensors ends at byte 34400, weights.bin at byte 34464`},
		{"weights.crc32", `"89ABCDEF"`, `config.json is not usable: "weights.crc32" is not 8 lower-case hex digits`},
		{"weights.crc32", `"89abcdef"`, `weights.bin is damaged (its checksum is CRC, config.json says 89abcdef)`},
		{"sampling.top_p", "0", `config.json is not usable: "sampling.top_p" is 0, it must be above 0`},
		{"sampling.temperature", "-1", `config.json is not usable: "sampling.temperature" is -1, it must be within 0..100`},
		{"selftest[0].ids", "[]", `config.json is not usable: "selftest[0].ids" is empty`},
		{"selftest[0].ids", "[272]", `config.json is not usable: "selftest[0].ids" or "greedy" holds the id 272, the vocabulary has 272 pieces`},
		{"selftest[0].ids", "[1, null]", `config.json is not usable: "selftest[0].ids" is not a list of whole numbers`},
	}
	for _, test := range tests {
		m := files(t)
		m["config.json"].Data = set(t, m["config.json"].Data, test.path, test.value)
		want := strings.Replace(test.want, "CRC", fmt.Sprintf("%08x", crc32.ChecksumIEEE(m["weights.bin"].Data)), 1)
		err := openAt(t, m)
		if err == nil || err.Error() != want {
			t.Errorf("%s = %s:\n got %v\nwant %s", test.path, test.value, err, want)
		} else if fault.Hint(err) == "" {
			t.Errorf("%s = %s: no hint", test.path, test.value)
		}
	}
}

func TestCacheLimit(t *testing.T) {
	m := files(t)
	c := set(t, m["config.json"].Data, "model.context", "1048576")
	c = set(t, c, "model.d_model", "4096")
	m["config.json"].Data = c
	want := `config.json is not usable: "model.context" is 1048576, the cache of keys and values would be larger than 4 GB`
	if err := openAt(t, m); err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
}

// TestTruncated cuts each file at many lengths, and TestFlipped turns single bits: never a panic, never a success, but
// for config.json, where some bytes mean nothing to a reader.
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
	good := files(t)["config.json"].Data
	for at := 0; at < len(good); at += 3 {
		m := files(t)
		m["config.json"].Data = slices.Clone(good)
		m["config.json"].Data[at] ^= 1 << (at % 8)
		if err := openAt(t, m); err != nil && fault.Hint(err) == "" {
			t.Fatalf("config.json flipped at %d: %v has no hint", at, err)
		}
	}
}

// TestDigest damages a digest that only info and selftest look at.
func TestDigest(t *testing.T) {
	for _, which := range []string{"weights", "vocab"} {
		m := files(t)
		m["config.json"].Data = set(t, m["config.json"].Data, which+".sha256", `"`+strings.Repeat("0", 64)+`"`)
		b, err := Open(readerAtFS{m})
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
		{"kind", `"char"`, `vocab.json is not usable: "kind" is "char", this program knows "sentencepiece-bpe"`},
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
