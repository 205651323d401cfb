package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/fstest"

	"minitron/internal/weights"
)

// The shapes of the bundles in these tests: no width is a multiple of a panel or a group.
var (
	tinyLlama = weights.Shape{Arch: "llama", Layers: 2, Heads: 4, KVHeads: 1, Dim: 24, FFDim: 40, VocabSize: 272, Context: 64,
		RopeTheta: 10000, NormEps: 1e-5, QKNorm: true}
	tinyNanogpt = weights.Shape{Arch: "nanogpt", Layers: 1, Heads: 2, KVHeads: 2, Dim: 24, FFDim: 40, VocabSize: 272, Context: 50,
		NormEps: 1e-5, Bias: true}
	tinyStream = weights.Shape{Arch: "stream", Layers: 3, Heads: 4, KVHeads: 2, Dim: 24, FFDim: 40, VocabSize: 272, Context: 64,
		RopeTheta: 10000, NormEps: 1e-5, Kinds: []string{"conv", "window", "delta"}, Window: 20, ConvWidth: 3}
)

// files returns a good bundle, to be damaged.
func files(t testing.TB) fstest.MapFS { return tiny(t, tinyLlama, "q8") }

// tiny makes the three files of a bundle with random weights.
func tiny(t testing.TB, shape weights.Shape, dtype string) fstest.MapFS {
	t.Helper()
	var payload []byte
	var table []map[string]any
	random := rand.New(rand.NewPCG(1, 2))
	for _, tensor := range weights.Table(shape, dtype) {
		payload = append(payload, make([]byte, -len(payload)&(alignment-1))...)
		table = append(table, map[string]any{"name": tensor.Name, "dtype": tensor.DType, "shape": tensor.Shape,
			"offset": len(payload), "bytes": tensor.Bytes})
		payload = append(payload, values(random, tensor)...)
	}
	config, err := json.Marshal(map[string]any{
		"format": "minitron-bundle", "version": 2, "name": "tiny", "template": "text", "model": shape, "dtype": dtype,
		"params": weights.Params(shape), "weights": map[string]any{}, "vocab": map[string]any{}, "tensors": table,
		"about": About{"1.0", "free", "iVBORw0KGgo="},
		"chat":  map[string]any{"system": "be kind", "greeting": "hello", "questions": []string{"who?", "why?"}},
		"sampling": map[string]any{"temperature": 0.7, "top_k": 40, "top_p": 0.95, "min_p": 0.0, "repeat_penalty": 1.0,
			"max_tokens": 20},
		"selftest": []any{map[string]any{"ids": []int{2, 9, 4, 3}, "greedy": []int{7}, "logits": []float64{0.5, -1e-7}}},
		"made":     Made{"0.1.0", "tiny", "sft", "2026-11-20T14:00:00Z", "2026-11-20T15:00:00Z", []Source{{"jokes", "CC0", "here"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	m := fstest.MapFS{"config.json": {Data: config}, "vocab.json": {Data: tinyVocab()}, "weights.bin": {Data: payload}}
	resign(t, m, "weights", payload)
	resign(t, m, "vocab", m["vocab.json"].Data)
	return m
}

// values returns random bytes that mean finite values of a tensor.
func values(random *rand.Rand, t weights.Tensor) []byte {
	data := make([]byte, t.Bytes)
	halves := func(part []byte) {
		for i := 0; i < len(part); i += 2 {
			binary.LittleEndian.PutUint16(part[i:], uint16(random.UintN(0x7c00)|random.UintN(2)<<15))
		}
	}
	group := map[string]int{"q8": 544, "q4": 288}[t.DType]
	switch t.DType {
	case "f32":
		for i := 0; i < len(data); i += 4 {
			binary.LittleEndian.PutUint32(data[i:], math.Float32bits(2*random.Float32()-1))
		}
	case "f16":
		halves(data)
	default:
		for i := range data {
			data[i] = byte(1 + random.UintN(255))
		}
		for at := 0; at < len(data); at += group {
			halves(data[at : at+32])
		}
	}
	return data
}

// tinyVocab has the markers, the bytes and eleven pieces.
func tinyVocab() []byte {
	pieces := []string{"<unk>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"}
	for b := range 256 {
		pieces = append(pieces, fmt.Sprintf("<0x%02X>", b))
	}
	for n := range 11 {
		pieces = append(pieces, fmt.Sprintf("w%d", n))
	}
	vocab, err := json.Marshal(map[string]any{
		"kind": "sentencepiece-bpe", "pieces": pieces, "scores": make([]float32, len(pieces)),
		"types":  "UCCCC" + strings.Repeat("B", 256) + strings.Repeat("N", 11),
		"unk_id": 0, "unk_surface": " ⁇ ", "byte_fallback": true, "treat_whitespace_as_suffix": false,
		"normalizer": map[string]any{"add_dummy_prefix": false, "remove_extra_whitespaces": false,
			"escape_whitespaces": true, "precompiled_charsmap": ""},
		"chat": map[string]int{"system": 1, "user": 2, "assistant": 3, "end": 4},
	})
	if err != nil {
		panic(err)
	}
	return vocab
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

// seal gives config.json its own checksum.
func seal(config []byte) []byte {
	before := append(bytes.Clone(bytes.TrimSuffix(config, []byte("}"))), ",\n"...)
	return fmt.Appendf(before, `"crc32": "%08x"}`, crc32.ChecksumIEEE(before))
}

// set edits JSON as a tree: path is such as "model.n_layers" or "tensors[1].name"; an empty value deletes the key.
func set(t testing.TB, data []byte, path, value string) []byte {
	t.Helper()
	var tree map[string]any
	if err := json.Unmarshal(data, &tree); err != nil {
		t.Fatal(err)
	}
	node := tree
	keys := strings.Split(path, ".")
	for _, key := range keys[:len(keys)-1] {
		var index int
		if name, rest, isList := strings.Cut(key, "["); isList {
			fmt.Sscanf(rest, "%d", &index)
			node = node[name].([]any)[index].(map[string]any)
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

// openAt opens a bundle and looks at everything in it.
func openAt(t testing.TB, m fstest.MapFS) error {
	t.Helper()
	b, err := Open(m)
	if err != nil {
		return err
	}
	defer b.Close()
	return b.Verify()
}
