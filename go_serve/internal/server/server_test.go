package server

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"minitron/internal/about"
	"minitron/internal/api"
	"minitron/internal/engine"
	"minitron/internal/testmodel"
)

const hi = `{"messages": [{"role": "user", "content": "hi"}], "max_tokens": 4}`

func newAPI(t testing.TB) *api.Server {
	t.Helper()
	e, err := engine.New(testmodel.Bundle(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	return api.New(e, api.Limits{})
}

// newOpen serves this machine, without a key.
func newOpen(t testing.TB) *API {
	model := about.Describe(testmodel.Bundle(t).Config, "1.2.3")
	model.Made.Date = "2026-11-20T15:00:00Z"
	return &API{Server: newAPI(t), About: model, Loopback: true}
}

// request describes one; header lines are "Name: value".
type request struct {
	method, path, body string
	headers            []string
}

// do sends it as a client at this machine does, unless its headers say otherwise.
func do(h http.Handler, q request) *httptest.ResponseRecorder {
	r := httptest.NewRequest(q.method, "http://localhost:8080/", strings.NewReader(q.body))
	path, query, _ := strings.Cut(q.path, "?")
	r.URL.Path, r.URL.RawPath, r.URL.RawQuery = path, "", query
	if plain, err := r.URL.Parse(path); err == nil && strings.Contains(path, "%") {
		r.URL.Path, r.URL.RawPath = plain.Path, plain.RawPath
	}
	r.Header.Set("Content-Type", "application/json")
	for _, line := range q.headers {
		name, value, _ := strings.Cut(line, ": ")
		if name == "Host" {
			r.Host = value
		} else {
			r.Header.Set(name, value)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// code returns the code of an error in OpenAI's shape, "" for an answer.
func code(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	if w.Code < 400 {
		return ""
	}
	var body struct {
		Error struct {
			Message, Type string
			Code          string
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body.Error.Message == "" || body.Error.Type == "" || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%d %q is not in OpenAI's shape", w.Code, w.Body)
	}
	return body.Error.Code
}

const completions = "/v1/chat/completions"

func TestAPI(t *testing.T) {
	open := newOpen(t)
	locked := &API{Server: open.Server, Key: "secret"}
	tests := []struct {
		name   string
		server *API
		request
		status int
		code   string
	}{
		{"an answer", open, request{"POST", completions, hi, nil}, 200, ""},
		{"a completion", open, request{"POST", "/v1/completions", `{"prompt": "hi"}`, nil}, 200, ""},
		{"health", open, request{"GET", "/health", "", nil}, 200, ""},
		{"models", open, request{"GET", "/v1/models", "", nil}, 200, ""},
		{"the model", open, request{"GET", "/v1/models/llama-qknorm", "", nil}, 200, ""},
		{"the model as ollama names it", open, request{"GET", "/v1/models/Llama-QKnorm:latest", "", nil}, 200, ""},
		{"a query is ignored", open, request{"GET", "/v1/models?x=1", "", nil}, 200, ""},
		{"HEAD", open, request{"HEAD", "/health", "", nil}, 200, ""},

		{"another model", open, request{"GET", "/v1/models/gpt", "", nil}, 404, "model_not_found"},
		{"unknown path", open, request{"GET", "/v2", "", nil}, 404, "unknown_url"},
		{"the root", open, request{"GET", "/", "", nil}, 200, ""},
		{"the root of a server with a key", locked, request{"GET", "/", "", nil}, 200, ""},
		{"the printed address", open, request{"GET", "/v1", "", nil}, 200, ""},
		{"POST to the root", open, request{"POST", "/", hi, nil}, 405, "method_not_allowed"},
		{"an empty path", open, request{"OPTIONS", "", "", nil}, 404, "unknown_url"},
		{"dots", open, request{"GET", "/v1/../health", "", nil}, 404, "unknown_url"},
		{"encoded", open, request{"GET", "/%68ealth", "", nil}, 404, "unknown_url"},
		{"two slashes", open, request{"GET", "//health", "", nil}, 404, "unknown_url"},
		{"a slash behind", open, request{"POST", completions + "/", hi, nil}, 404, "unknown_url"},
		{"another case", open, request{"GET", "/HEALTH", "", nil}, 404, "unknown_url"},
		{"GET of what is posted", open, request{"GET", completions, "", nil}, 405, "method_not_allowed"},
		{"POST of what is read", open, request{"POST", "/v1/models", "", nil}, 405, "method_not_allowed"},
		{"OPTIONS", open, request{"OPTIONS", completions, "", nil}, 405, "method_not_allowed"},
		{"a made-up method", open, request{strings.Repeat("X", 500), completions, hi, nil}, 405, "method_not_allowed"},

		{"127.0.0.1", open, request{"GET", "/health", "", []string{"Host: 127.0.0.1:1"}}, 200, ""},
		{"IPv6", open, request{"GET", "/health", "", []string{"Host: [::1]:8080"}}, 200, ""},
		{"another host", open, request{"GET", "/health", "", []string{"Host: evil.example:8080"}}, 403, "host_not_allowed"},
		{"a host that looks alike", open, request{"GET", "/health", "", []string{"Host: localhost.evil.example"}}, 403, "host_not_allowed"},
		{"IPv4 in brackets", open, request{"GET", "/health", "", []string{"Host: [127.0.0.1]"}}, 403, "host_not_allowed"},
		{"brackets before", open, request{"GET", "/health", "", []string{"Host: []127.0.0.1"}}, 403, "host_not_allowed"},
		{"two brackets", open, request{"GET", "/health", "", []string{"Host: [[127.0.0.1]]:80"}}, 403, "host_not_allowed"},
		{"a name in brackets", open, request{"GET", "/health", "", []string{"Host: [localhost]:80"}}, 403, "host_not_allowed"},
		{"IPv6 without a port", open, request{"GET", "/health", "", []string{"Host: [::1]"}}, 200, ""},
		{"IPv6 without brackets", open, request{"GET", "/health", "", []string{"Host: ::1"}}, 403, "host_not_allowed"},
		{"no host", open, request{"GET", "/health", "", []string{"Host: "}}, 403, "host_not_allowed"},
		{"another address", open, request{"GET", "/health", "", []string{"Host: 10.0.0.1"}}, 403, "host_not_allowed"},
		{"another host, not on loopback", locked, request{"GET", "/health", "", []string{"Host: me.example"}}, 200, ""},

		{"own origin", open, request{"POST", completions, hi, []string{"Origin: http://localhost:8080"}}, 200, ""},
		{"foreign origin", open, request{"POST", completions, hi, []string{"Origin: http://evil.example"}}, 403, "origin_not_allowed"},
		{"another port's origin", open, request{"POST", completions, hi, []string{"Origin: http://localhost:3000"}}, 403, "origin_not_allowed"},
		{"a file's origin", open, request{"POST", completions, hi, []string{"Origin: null"}}, 403, "origin_not_allowed"},
		{"foreign origin with a key", locked, request{"POST", completions, hi, []string{"Origin: http://evil.example", "Authorization: Bearer secret"}}, 403, "origin_not_allowed"},

		{"no key", locked, request{"POST", completions, hi, nil}, 401, "invalid_api_key"},
		{"no key, an unknown path", locked, request{"GET", "/v2", "", nil}, 401, "invalid_api_key"},
		{"a wrong key", locked, request{"POST", completions, hi, []string{"Authorization: Bearer Secret"}}, 401, "invalid_api_key"},
		{"the beginning of the key", locked, request{"POST", completions, hi, []string{"Authorization: Bearer secre"}}, 401, "invalid_api_key"},
		{"another scheme", locked, request{"POST", completions, hi, []string{"Authorization: Basic secret"}}, 401, "invalid_api_key"},
		{"the key", locked, request{"POST", completions, hi, []string{"Authorization: bearer secret"}}, 200, ""},
		{"health needs none", locked, request{"GET", "/health", "", nil}, 200, ""},

		{"no JSON", open, request{"POST", completions, "hi", nil}, 400, "invalid_json"},
		{"a form", open, request{"POST", completions, hi, []string{"Content-Type: text/plain"}}, 415, "unsupported_media_type"},
		{"no type", open, request{"POST", completions, hi, []string{"Content-Type: "}}, 200, ""},
		{"no type, a page", open, request{"POST", completions, hi, []string{"Content-Type: ", "Origin: http://localhost:8080"}}, 415, "unsupported_media_type"},
		{"with a charset", open, request{"POST", completions, hi, []string{"Content-Type: application/json; charset=utf-8"}}, 200, ""},
		{"compressed", open, request{"POST", completions, hi, []string{"Content-Encoding: gzip"}}, 415, "unsupported_media_type"},
		{"a giant", open, request{"POST", completions, strings.Repeat(" ", maxBodyBytes+1), nil}, 413, "request_too_large"},
		{"just no giant", open, request{"POST", completions, hi + strings.Repeat(" ", maxBodyBytes-len(hi)), nil}, 200, ""},
		{"too long for the model", open, request{"POST", completions, strings.Replace(hi, "hi", strings.Repeat("x", 900_000), 1), nil}, 400, "context_length_exceeded"},
	}
	for _, test := range tests {
		w := do(test.server, test.request)
		if got := code(t, w); w.Code != test.status || got != test.code {
			t.Errorf("%s: %d %q, want %d %q", test.name, w.Code, got, test.status, test.code)
		}
		if w.Header().Get("X-Content-Type-Options") != "nosniff" || w.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: headers %v", test.name, w.Header())
		}
		if w.Code == 405 && w.Header().Get("Allow") == "" || w.Code == 401 && w.Header().Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%s: headers %v", test.name, w.Header())
		}
	}
	want := `{"data":[{"id":"llama-qknorm","object":"model","created":1795186800,"owned_by":"minitron","context_length":64}],"object":"list"}` + "\n"
	if got := do(open, request{"GET", "/v1/models", "", nil}).Body.String(); got != want {
		t.Errorf("models: %s", got)
	}
}

// TestOrigins lets the pages of two addresses ask, and no others.
func TestOrigins(t *testing.T) {
	a := &API{Server: newAPI(t), Key: "secret", Origins: []string{"http://localhost:3000", "null"}}
	for origin, want := range map[string]bool{
		"http://localhost:3000": true, "null": true, "http://localhost:3001": false, "https://localhost:3000": false,
		"http://localhost:3000.evil.example": false, "": false,
	} {
		from := []string{"Origin: " + origin, "Authorization: Bearer secret"}
		w := do(a, request{"POST", completions, hi, from})
		if got := w.Header().Get("Access-Control-Allow-Origin"); (w.Code == 200) != want || want && got != origin || !want && got != "" {
			t.Errorf("%s: %d, allowed for %q", origin, w.Code, got)
		}
		asking := []string{"Origin: " + origin, "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization,x-stainless-os"}
		w = do(a, request{"OPTIONS", completions, "", asking})
		if h := w.Header(); (w.Code == 204) != want || want && (h.Get("Access-Control-Allow-Headers") != "authorization,x-stainless-os" || h.Get("Access-Control-Allow-Methods") != "GET, POST") {
			t.Errorf("asked by %s: %d %v", origin, w.Code, h)
		}
	}
	w := do(a, request{"POST", completions, hi, []string{"Origin: null"}})
	if w.Code != 401 || w.Header().Get("Access-Control-Allow-Origin") != "null" { // the page may read why
		t.Errorf("without a key: %d %v", w.Code, w.Header())
	}
	for text, want := range map[string]bool{
		"http://localhost:3000": true, "https://a.example": true, "null": true, "chrome-extension://abc": true,
		"*": false, "": false, "localhost:3000": false, "http://a.example/": false, "http://a.example/x": false, "http://A.example": false, "http://u@a.example": false,
	} {
		if IsOrigin(text) != want {
			t.Errorf("IsOrigin(%q) is %v", text, !want)
		}
	}
}

// TestNotes holds that a person who comes to the wrong address with a browser is told so on a page.
func TestNotes(t *testing.T) {
	browser := []string{"Accept: text/html,application/xhtml+xml,*/*;q=0.8", "Accept-Language: ru-RU,ru;q=0.9"}
	a, web := &API{Server: newAPI(t)}, &Web{Files: fstest.MapFS{}, Port: 8080, Token: NewToken()}
	for _, test := range []struct {
		handler http.Handler
		path    string
		status  int
		want    string
	}{
		{a, "/", 200, "minitron-chat web"},
		{a, "/v1", 200, "OpenAI"},
		{web, "/", 404, "Это старый адрес"},
		{web, "/" + NewToken() + "/", 404, "Это старый адрес"},
	} {
		w := do(test.handler, request{"GET", test.path, "", browser})
		if got := w.Header().Get("Content-Type"); w.Code != test.status || got != "text/html; charset=utf-8" || !strings.Contains(w.Body.String(), test.want) {
			t.Errorf("%s: %d %s %s", test.path, w.Code, got, w.Body)
		}
		if w := do(test.handler, request{"GET", test.path, "", nil}); w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s for a program: %s", test.path, w.Body)
		}
	}
}

func TestStreaming(t *testing.T) {
	a := &API{Server: newAPI(t)}
	w := do(a, request{"POST", completions, strings.Replace(hi, "{", `{"stream": true, `, 1), nil})
	if got := w.Header().Get("Content-Type"); got != "text/event-stream; charset=utf-8" {
		t.Errorf("type %q", got)
	}
	events := strings.Split(w.Body.String(), "\n\n")
	if len(events) < 4 || events[len(events)-1] != "" || events[len(events)-2] != "data: [DONE]" {
		t.Fatalf("events %q", events)
	}
	for _, event := range events[:len(events)-2] {
		data, found := strings.CutPrefix(event, "data: ")
		if !found || !json.Valid([]byte(data)) || !strings.Contains(data, `"chat.completion.chunk"`) {
			t.Errorf("event %q", event)
		}
	}
}

func TestWeb(t *testing.T) {
	files := fstest.MapFS{"index.html": {Data: []byte("<p>page")}, "app.js": {Data: []byte("1")}, "notes.txt": {Data: []byte("x")}, "icon.ico": {Data: []byte("x")}, "sub/a.js": {Data: []byte("2")}}
	token := NewToken()
	web := &Web{Server: newAPI(t), About: about.Model{Name: "me"}, Files: files, Port: 8080, Token: token}
	if web.Address() != "http://127.0.0.1:8080/"+token+"/" || len(token) != 32 || token == NewToken() {
		t.Errorf("address %s", web.Address())
	}
	in := func(rest string) string { return "/" + token + "/" + rest }
	tests := []struct {
		request
		status int
		body   string // begins with
	}{
		{request{"GET", in(""), "", nil}, 200, "<p>page"},
		{request{"GET", in("index.html"), "", nil}, 200, "<p>page"},
		{request{"GET", in("app.js"), "", nil}, 200, "1"},
		{request{"HEAD", in("app.js"), "", nil}, 200, ""},
		{request{"GET", in("about"), "", nil}, 200, `{"name":"me"`},
		{request{"POST", in("v1/chat/completions"), hi, []string{"Origin: http://localhost:8080"}}, 200, `{"id":`},
		{request{"GET", in(""), "", []string{"Host: 127.0.0.1:8080"}}, 200, "<p>page"},

		{request{"GET", in(""), "", []string{"Host: 127.0.0.1:8081"}}, 403, ""},
		{request{"GET", in(""), "", []string{"Host: localhost"}}, 403, ""},
		{request{"GET", in(""), "", []string{"Host: evil.example:8080"}}, 403, ""},
		{request{"POST", in("v1/chat/completions"), hi, []string{"Origin: http://evil.example"}}, 403, ""},
		{request{"POST", in("v1/chat/completions"), hi, []string{"Origin: http://localhost:8081"}}, 403, ""},
		{request{"GET", "/", "", nil}, 404, ""},
		{request{"GET", "/" + token, "", nil}, 404, ""},
		{request{"GET", "/" + token[:31] + "/", "", nil}, 404, ""},
		{request{"GET", "/" + strings.ToUpper(token) + "x/", "", nil}, 404, ""},
		{request{"GET", "/app.js", "", nil}, 404, ""},
		{request{"GET", "//" + token + "/", "", nil}, 404, ""},
		{request{"GET", in("notes.txt"), "", nil}, 404, ""},
		{request{"GET", in("icon.ico"), "", nil}, 404, ""},
		{request{"GET", in("sub"), "", nil}, 404, ""},
		{request{"GET", in("../" + token + "/app.js"), "", nil}, 404, ""},
		{request{"GET", in("%2e%2e/app.js"), "", nil}, 404, ""},
		{request{"GET", in("/etc/passwd"), "", nil}, 404, ""},
		{request{"GET", in("v1/models"), "", nil}, 404, ""},
		{request{"POST", in("v1/completions"), `{"prompt": "a"}`, nil}, 405, ""},
		{request{"POST", in(""), hi, nil}, 405, ""},
		{request{"GET", in("v1/chat/completions"), "", nil}, 405, ""},
		{request{"POST", in("v1/chat/completions"), hi, []string{"Content-Type: text/plain"}}, 415, ""},
	}
	for _, test := range tests {
		w := do(web, test.request)
		code(t, w)
		if w.Code != test.status || !strings.HasPrefix(w.Body.String(), test.body) {
			t.Errorf("%s %s %v: %d %.100q, want %d %q", test.method, test.path, test.headers, w.Code, w.Body, test.status, test.body)
		}
		if w.Header().Get("Content-Security-Policy") != contentPolicy || w.Header().Get("Referrer-Policy") != "no-referrer" || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: headers %v", test.path, w.Header())
		}
		if bytes.Contains(w.Body.Bytes(), []byte(token)) {
			t.Errorf("%s tells the token", test.path)
		}
	}
	opened := 0
	web.Opened = func() { opened++ }
	for _, path := range []string{"/", in("app.js"), in("about"), "/" + NewToken() + "/"} {
		do(web, request{"GET", path, "", nil})
	}
	if do(web, request{"GET", in(""), "", nil}); opened != 1 {
		t.Errorf("opened %d times", opened)
	}
	if got := do(web, request{"GET", in("app.js"), "", nil}).Header().Get("Content-Type"); got != "text/javascript; charset=utf-8" {
		t.Errorf("a script is %q", got)
	}
}
