// Package server puts HTTP around internal/api: the API for programs (serve), and the chat page (web). It decides who may ask
// and how much; package api decides what is answered.
package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"slices"
	"strings"
	"time"

	"minitron/internal/about"
	"minitron/internal/api"
	"minitron/internal/lang"
)

// API answers OpenAI's clients, and ollama's below /api/.
type API struct {
	Server   *api.Server
	About    about.Model
	Key      string   // the key that every request must bear; "" is none
	Loopback bool     // whether only this machine is served: requests for other host names are refused
	Origins  []string // the origins of pages that may ask, besides the server's own: see IsOrigin
}

// ServeHTTP checks a request and hands it on.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	secure(w.Header())
	path := r.URL.EscapedPath() // as it was sent: neither cleaned nor decoded
	allowed := allow(a.Origins, w, r)
	switch {
	case a.Loopback && !isThisMachine(r.Host):
		refuse(w, r, api.Refuse(403, "host_not_allowed", "", "This server answers at localhost only, not at the host of this request."))
	case !allowed && !sameOrigin(r):
		refuse(w, r, foreignOrigin())
	case allowed && isPreflight(r):
		allowPreflight(w, r)
	case path == "/" || path == "/v1" || path == "/v1/":
		only(w, r, a.root, "GET", "HEAD")
	case path != "/health" && !a.hasKey(r):
		w.Header().Set("WWW-Authenticate", "Bearer")
		refuse(w, r, api.Refuse(401, "invalid_api_key", "", "Incorrect or missing API key. Send it as 'Authorization: Bearer KEY'."))
	case path == "/health":
		only(w, r, a.health, "GET", "HEAD")
	case path == "/v1/models":
		only(w, r, a.models, "GET", "HEAD")
	case strings.HasPrefix(path, "/v1/models/"):
		only(w, r, a.model, "GET", "HEAD")
	case path == "/v1/chat/completions":
		only(w, r, answering(a.Server.Chat), "POST")
	case path == "/v1/completions":
		only(w, r, answering(a.Server.Complete), "POST")
	case isOllama(r):
		a.ollama(w, r, path)
	default:
		refuse(w, r, notFound(r))
	}
}

func notFound(r *http.Request) *api.Error {
	return api.Refuse(404, "unknown_url", "", "Unknown request URL: %s %.100q.", shortMethod(r), r.URL.Path)
}

func shortMethod(r *http.Request) string { return r.Method[:min(len(r.Method), 20)] }

// hasKey reports whether a request bears the key. It compares digests, so that the time it takes reveals nothing, not even the
// length.
func (a *API) hasKey(r *http.Request) bool {
	if a.Key == "" {
		return true
	}
	scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	got, want := sha256.Sum256([]byte(strings.TrimSpace(key))), sha256.Sum256([]byte(a.Key))
	return strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

// only calls handle if the request's method is one of methods, and refuses the request otherwise.
func only(w http.ResponseWriter, r *http.Request, handle http.HandlerFunc, methods ...string) {
	if slices.Contains(methods, r.Method) {
		handle(w, r)
		return
	}
	w.Header().Set("Allow", strings.Join(methods, ", "))
	refuse(w, r, api.Refuse(405, "method_not_allowed", "", "Not allowed to %s here; allowed: %s.", shortMethod(r), strings.Join(methods, ", ")))
}

func (a *API) health(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, 200, map[string]string{"status": "ok"})
}

// root tells a person or a program what this server is.
func (a *API) root(w http.ResponseWriter, r *http.Request) {
	if wantsPage(r) {
		writePage(w, r, 200, language(r).APIRoot)
		return
	}
	writeJSON(w, 200, map[string]string{"message": lang.English.APIRoot})
}

type modelInfo struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
	Context int    `json:"context_length"`
}

func (a *API) info() modelInfo {
	m := modelInfo{ID: a.Server.Name(), Object: "model", OwnedBy: "minitron", Context: a.About.Shape.Longest()}
	if made, err := time.Parse(time.RFC3339, a.About.Made.Date); err == nil {
		m.Created = max(0, made.Unix())
	}
	return m
}

func (a *API) models(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, 200, map[string]any{"object": "list", "data": []modelInfo{a.info()}})
}

func (a *API) model(w http.ResponseWriter, r *http.Request) {
	if id := strings.TrimPrefix(r.URL.Path, "/v1/models/"); !a.Server.Serves(id) {
		refuse(w, r, a.Server.ModelNotFound(id))
		return
	}
	writeJSON(w, 200, a.info())
}
