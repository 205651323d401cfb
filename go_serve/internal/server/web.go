package server

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"

	"minitron/internal/about"
	"minitron/internal/api"
)

// Web serves the chat page and answers its requests. All of it lies below a path with a secret token; there is nothing anywhere
// else.
type Web struct {
	Server *api.Server
	About  about.Model
	Files  fs.FS
	Port   int // the port at 127.0.0.1
	Token  string
	Opened func() // called when the page is served, if not nil
}

// NewToken returns 32 random hex digits.
func NewToken() string {
	token := make([]byte, 16)
	rand.Read(token)
	return hex.EncodeToString(token)
}

// Address returns the address of the page.
func (p *Web) Address() string {
	return "http://127.0.0.1:" + strconv.Itoa(p.Port) + "/" + p.Token + "/"
}

// contentPolicy lets the page load its own files and send requests to its own server, and nothing else.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// kinds holds the content types of the page's files. The system's own table is not used, as it is wrong on some machines.
var kinds = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
}

// ServeHTTP checks a request and hands it on.
func (p *Web) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	secure(w.Header())
	w.Header().Set("Content-Security-Policy", contentPolicy)
	port := ":" + strconv.Itoa(p.Port)
	token, rest, found := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
	switch {
	case r.Host != "127.0.0.1"+port && !strings.EqualFold(r.Host, "localhost"+port):
		refuse(w, r, api.Refuse(403, "host_not_allowed", "", "This page is at localhost only, not at the host of this request."))
	case !sameOrigin(r):
		refuse(w, r, foreignOrigin())
	case !found || subtle.ConstantTimeCompare([]byte(token), []byte(p.Token)) != 1:
		if wantsPage(r) { // for example from an old bookmark
			writePage(w, r, 404, language(r).WebGone)
			return
		}
		refuse(w, r, api.Refuse(404, "unknown_url", "", "There is nothing here. Open the address that the program has printed."))
	case rest == "about":
		only(w, r, p.about, "GET", "HEAD")
	case rest == "v1/chat/completions":
		only(w, r, answering(p.Server.Chat), "POST")
	default:
		only(w, r, func(w http.ResponseWriter, r *http.Request) { p.file(w, r, rest) }, "GET", "HEAD")
	}
}

func (p *Web) about(w http.ResponseWriter, _ *http.Request) { writeJSON(w, 200, p.About) }

func (p *Web) file(w http.ResponseWriter, r *http.Request, name string) {
	if name == "" {
		name = "index.html"
		if p.Opened != nil {
			p.Opened()
		}
	}
	data, err := fs.ReadFile(p.Files, name) // refuses names with "..", an empty element or a leading slash
	kind, known := kinds[path.Ext(name)]
	if err != nil || !known {
		refuse(w, r, api.Refuse(404, "unknown_url", "", "There is no such file in the page."))
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	if r.Method != "HEAD" {
		w.Write(data)
	}
}
