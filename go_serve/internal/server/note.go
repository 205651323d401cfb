package server

import (
	"html"
	"io"
	"net/http"
	"strings"

	"minitron/internal/lang"
)

// wantsPage reports whether a request comes from a browser that will show the response: a program does not ask for HTML.
func wantsPage(r *http.Request) bool {
	return (r.Method == "GET" || r.Method == "HEAD") && strings.Contains(r.Header.Get("Accept"), "text/html")
}

// language returns the texts in the language that the browser asks for first.
func language(r *http.Request) *lang.Strings { return lang.Choose(r.Header.Get("Accept-Language")) }

// writePage shows a sentence to a person.
func writePage(w http.ResponseWriter, r *http.Request, status int, text string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", contentPolicy)
	w.WriteHeader(status)
	if r.Method != "HEAD" {
		io.WriteString(w, `<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark"><title>minitron-chat</title><p>`+
			html.EscapeString(text)+"\n")
	}
}
