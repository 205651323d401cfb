package main

import (
	"bytes"
	"encoding/json"
	"io"
	"regexp"
	"strings"
	"testing"

	"minitron/internal/fault"
)

// FuzzLines gives any lines to tokenize, logits and complete: an object for each line up to the first that cannot be
// answered, and then an error that names that line.
func FuzzLines(f *testing.F) {
	for _, seed := range []string{
		`{"text": "hi"}`, `{"b64": "/w=="}` + "\n\n{}", `{"ids": [1, 2, 3]}` + "\r\n" + `{"ids": [272]}`, `{"ids": [1e9]}`, `{"text": null}`,
		`{"messages": [{"role": "user", "content": "a"}], "max_tokens": 2}`, `{"messages": [{"role": "user"}], "max_tokens": -1}`,
		`{"messages": [{"role": "user", "content": "` + strings.Repeat("x", 100) + `"}]}`, "\xff", "\ufeff{\"text\": \"hi\"}", strings.Repeat("[", 20000), `{"ids": [` + strings.Repeat("5,", 70) + "5]}",
		`{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]}`, `{"text": "\ud800"}`, "null",
	} {
		f.Add([]byte(seed))
	}
	commands := map[string]func(*options, io.Reader, io.Writer) error{"tokenize": tokenize, "logits": logits, "complete": complete}
	numbered := regexp.MustCompile(`^line [1-9][0-9]*: .`)
	f.Fuzz(func(t *testing.T, data []byte) {
		lines := 0
		for _, line := range bytes.Split(bytes.TrimPrefix(data, []byte("\ufeff")), []byte("\n")) {
			if len(bytes.TrimSpace(line)) > 0 {
				lines++
			}
		}
		for name, command := range commands {
			o, err := parseOptions([]string{name, "--model", tiny, "--threads", "1"})
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			err = command(o, bytes.NewReader(data), &out)
			answers := bytes.Count(out.Bytes(), []byte("\n"))
			if err == nil && answers != lines || err != nil && (answers >= lines || !numbered.MatchString(err.Error()) || strings.Contains(err.Error(), "\n")) {
				t.Fatalf("%s %q: %d answers to %d lines, %v (%q)", name, data, answers, lines, err, fault.Hint(err))
			}
			for line := range bytes.Lines(out.Bytes()) {
				var answer map[string]any
				if json.Unmarshal(line, &answer) != nil || len(answer) == 0 {
					t.Fatalf("%s %q answers %q", name, data, line)
				}
			}
		}
	})
}
