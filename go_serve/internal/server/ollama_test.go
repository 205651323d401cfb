package server

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

func TestOllama(t *testing.T) {
	open := newOpen(t)
	locked := &API{Server: open.Server, About: open.About, Key: "secret"}
	form := []string{"Content-Type: application/x-www-form-urlencoded"}
	tests := []struct {
		server *API
		request
		status int
		want   string // in the body
	}{
		{open, request{"POST", "/api/chat", hi, nil}, 200, `"message":{"role":"assistant","content":"`},
		{open, request{"POST", "/api/chat", hi, form}, 200, `"done":true`}, // curl -d
		{open, request{"POST", "/api/chat", hi, append(form, "Origin: http://localhost:8080")}, 415, `{"error":"The Content-Type`},
		{open, request{"POST", "/api/chat", hi, append(form, "Sec-Fetch-Site: none")}, 415, `{"error":"`},
		{open, request{"POST", "/api/generate", `{"prompt": "hi", "stream": false}`, nil}, 200, `"response":"`},
		{open, request{"POST", "/api/generate", `{"model": "llama-qknorm"}`, nil}, 200, `"done_reason":"load"`},
		{open, request{"GET", "/api/tags", "", nil}, 200, `{"models":[{"name":"llama-qknorm:latest","model":"llama-qknorm:latest","modified_at":"2026-11-20T15:00:00Z","size":`},
		{open, request{"GET", "/api/ps", "", nil}, 200, `"size_vram":0,"context_length":64}]}`},
		{open, request{"GET", "/api/version", "", nil}, 200, `{"version":"1.2.3"}`},
		{open, request{"POST", "/api/show", `{"model": "llama-qknorm:latest"}`, nil}, 200, `"llama.context_length":64`},
		{open, request{"POST", "/api/show", `{"name": "llama-qknorm"}`, nil}, 200, `"parameters":"num_ctx 64\nnum_predict `},
		{open, request{"POST", "/api/show", `{"model": "gpt"}`, nil}, 404, `{"error":"The model 'gpt' does not exist. The one that is here is 'llama-qknorm'."}`},
		{open, request{"POST", "/api/show", `{"model": 5}`, nil}, 400, `{"error":"Invalid type for 'model'`},
		{open, request{"GET", "/api/chat", "", nil}, 405, `{"error":"Not allowed to GET here; allowed: POST."}`},
		{open, request{"POST", "/api/pull", "{}", nil}, 501, `{"error":"This server has one model`},
		{open, request{"GET", "/api/zzz", "", nil}, 404, `{"error":"Unknown request URL`},
		{open, request{"POST", "/api/chat", hi, []string{"Origin: http://evil.example"}}, 403, `{"error":"Pages of other sites`},
		{open, request{"GET", "/api/tags", "", []string{"Host: evil.example"}}, 403, `{"error":"This server answers at localhost only`},
		{locked, request{"GET", "/api/tags", "", nil}, 401, `{"error":"Incorrect or missing API key`},
		{locked, request{"GET", "/api/tags", "", []string{"Authorization: Bearer secret"}}, 200, `"models"`},
	}
	for _, test := range tests {
		w := do(test.server, test.request)
		if w.Code != test.status || !strings.Contains(w.Body.String(), test.want) {
			t.Errorf("%s %s %v: %d %.300s, want %d %s", test.method, test.path, test.headers, w.Code, w.Body, test.status, test.want)
		}
	}
	// What Continue reads of /api/show: a name and a value in each line.
	var shown struct{ Parameters string }
	if err := json.Unmarshal(do(open, request{"POST", "/api/show", "{}", nil}).Body.Bytes(), &shown); err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(shown.Parameters, "\n") {
		if !regexp.MustCompile(`^[a-z_]+ [0-9.]+$`).MatchString(line) {
			t.Errorf("a parameter is %q", line)
		}
	}
}

// TestLines holds that a stream is lines of JSON, each whole, and the last one done.
func TestLines(t *testing.T) {
	w := do(newOpen(t), request{"POST", "/api/chat", `{"messages": [{"role": "user", "content": "hi"}], "options": {"num_predict": 6, "temperature": 0}}`, nil})
	if got := w.Header().Get("Content-Type"); got != "application/x-ndjson" {
		t.Errorf("type %q", got)
	}
	lines := strings.SplitAfter(w.Body.String(), "\n")
	if last := len(lines) - 1; last < 3 || lines[last] != "" {
		t.Fatalf("lines %q", lines)
	}
	for i, line := range lines[:len(lines)-1] {
		var one struct{ Done bool }
		if err := json.Unmarshal([]byte(line), &one); err != nil || one.Done != (i == len(lines)-2) {
			t.Errorf("line %d: %v %s", i, err, line)
		}
	}
}

func TestShort(t *testing.T) {
	for params, want := range map[int64]string{12: "12", 5_340: "5.3K", 4_200_000: "4.2M", 1_240_000_000: "1.2B"} {
		if got := short(params); got != want {
			t.Errorf("%d: %s, want %s", params, got, want)
		}
	}
}
