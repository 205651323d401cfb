package server

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"minitron/internal/api"
)

// secure sets what every response has, whatever it is.
func secure(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// isThisMachine reports whether a Host header names this machine, at any port: a page of another site that had its own
// name resolved to 127.0.0.1 does not.
func isThisMachine(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	if strings.EqualFold(name, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(name, "[]"))
	return err == nil && ip.IsLoopback()
}

// sameOrigin reports whether a request comes from no page, or from one that this server gave.
func sameOrigin(r *http.Request) bool {
	origins := r.Header.Values("Origin")
	return len(origins) == 0 || len(origins) == 1 && strings.EqualFold(origins[0], "http://"+r.Host)
}

func foreignOrigin() *api.Error {
	return api.Refuse(403, "origin_not_allowed", "", "Pages of other sites may not ask this server.")
}

// IsLoopback reports whether listening at an address serves this machine only.
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
