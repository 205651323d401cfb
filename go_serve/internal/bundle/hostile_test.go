package bundle

import (
	"maps"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"minitron/internal/fault"
)

// TestBoundedMemory opens bundles that promise much: what is allocated, counting what is given back at once, stays within
// some times what is there.
func TestBoundedMemory(t *testing.T) {
	many := func(one string) string { // as much as a config.json may hold
		return "[" + strings.Repeat(one+",", (4<<20-9000)/(len(one)+1)) + one + "]"
	}
	tests := []struct{ path, value string }{
		{"tensors", many("{}")},
		{"tensors", many(`{"name":""}`)},
		{"tensors[0].shape", many("1")},
		{"tensors[0].name", `"` + strings.Repeat("x", 4<<20-9000) + `"`},
		{"selftest[0].ids", many("1")},
		{"selftest[0].logits", many("1")},
		{"unknown", many(`{"a":{}}`)},
		{"unknown", strings.Repeat("[", 5000) + strings.Repeat("]", 5000)},
		{"model.n_layers", "1024"},
		{"weights.bytes", "4611686018427387904"},
		{"vocab.bytes", "4611686018427387904"},
	}
	for _, test := range tests {
		m := files(t)
		m["config.json"].Data = set(t, m["config.json"].Data, test.path, test.value)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := openAt(t, m)
		runtime.ReadMemStats(&after)
		if err != nil && (fault.Hint(err) == "" || len(err.Error()) > 400) {
			t.Errorf("%s: an error of %d bytes, hint %q", test.path, len(err.Error()), fault.Hint(err))
		}
		if mb := (after.TotalAlloc - before.TotalAlloc) >> 20; mb > 200 {
			t.Errorf("%s = %.20s…: %d MB were allocated", test.path, test.value, mb)
		}
	}
}

// FuzzOpen gives any config.json to Open, beside a good vocabulary and good weights: never a panic, and every refusal has
// a hint. What is accepted is as large as the table says.
func FuzzOpen(f *testing.F) {
	for _, m := range tinies(f) {
		good := m["config.json"].Data
		f.Add(good)
		f.Add(good[:len(good)/2])
		for path, value := range map[string]string{"version": "1", "dtype": `"q4"`, "tensors[0].offset": "9223372036854775807",
			"tensors[1].bytes": "-1", "model.d_model": "65536", "weights.bytes": "1", "model.n_layers": "1024", "tensors": "[null]",
			"template": `"chatml"`, "model.logit_cap": "1e308"} {
			f.Add(set(f, good, path, value))
		}
	}
	for _, text := range []string{"", "null", "[]", "{}", "{\"format\":\"minitron-bundle\",\"version\":2}", "\xff", "{\"a\":1,\"a\":2}"} {
		f.Add([]byte(text))
	}
	others := files(f)
	f.Fuzz(func(t *testing.T, config []byte) {
		m := maps.Clone(others)
		m["config.json"] = &fstest.MapFile{Data: config}
		b, err := Open(m)
		if err != nil {
			if fault.Hint(err) == "" {
				t.Fatalf("%v has no hint", err)
			}
			return
		}
		defer b.Close()
		if err := b.Verify(); err != nil && fault.Hint(err) == "" {
			t.Fatalf("%v has no hint", err)
		}
		for _, tensor := range b.Config.Tensors {
			if got := b.Weights.Tensor(tensor.Name); int64(len(got)) != tensor.Bytes {
				t.Fatalf("%s has %d bytes, the table says %d", tensor.Name, len(got), tensor.Bytes)
			}
		}
	})
}
