package server

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"minitron/internal/api"
)

// secure sets the headers that every response has.
func secure(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// isThisMachine reports whether a Host header names this machine, at any port. The header of a page whose site has made its own
// name resolve to 127.0.0.1 does not.
func isThisMachine(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	} else if inner, ok := strings.CutPrefix(host, "["); ok {
		name = strings.TrimSuffix(inner, "]")
	}
	if strings.EqualFold(name, "localhost") {
		return host[0] != '['
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && ip.IsLoopback() && ip.Is6() == (host[0] == '[')
}

// sameOrigin reports whether a request does not come from a page, or comes from a page of this server.
func sameOrigin(r *http.Request) bool {
	origins := r.Header.Values("Origin")
	return len(origins) == 0 || len(origins) == 1 && strings.EqualFold(origins[0], "http://"+r.Host)
}

func foreignOrigin() *api.Error {
	return api.Refuse(403, "origin_not_allowed", "", "Pages of other sites may not ask this server, unless it is started with --origin and their address.")
}

// IsOrigin reports whether a text is what browsers send as the origin of a page: scheme://host[:port], or null for pages from
// files.
func IsOrigin(text string) bool {
	if text == "null" {
		return true
	}
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && text == u.Scheme+"://"+u.Host && text == strings.ToLower(text)
}

// allow lets a page of one of the origins read the answer (CORS); it reports whether r comes from such a page.
func allow(origins []string, w http.ResponseWriter, r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if !slices.Contains(origins, origin) || len(r.Header.Values("Origin")) != 1 {
		return false
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", origin)
	h.Add("Vary", "Origin")
	h.Set("Access-Control-Expose-Headers", "Retry-After")
	h.Del("Cross-Origin-Resource-Policy")
	return true
}

// isPreflight reports whether a request is a browser's question whether a page may send the real request; it bears no key.
func isPreflight(r *http.Request) bool {
	return r.Method == "OPTIONS" && r.Header.Get("Access-Control-Request-Method") != ""
}

// allowPreflight answers a preflight: whether the real request is allowed is decided when it comes.
func allowPreflight(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", "GET, POST")
	if names := r.Header.Get("Access-Control-Request-Headers"); names != "" {
		h.Set("Access-Control-Allow-Headers", names)
	}
	if r.Header.Get("Access-Control-Request-Private-Network") == "true" {
		h.Set("Access-Control-Allow-Private-Network", "true")
	}
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(204)
}

// IsLoopback reports whether a server that listens at an address can be reached from this machine only.
func IsLoopback(address string) (bool, error) {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return false, err
	}
	resolved, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return false, err
	}
	return resolved.IP.IsLoopback(), nil
}
