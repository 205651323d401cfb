package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"time"

	"minitron/internal/api"
)

// Reading a request takes memory: a megabyte of JSON takes some thirty while it is parsed and tokenised, before the request
// queues for the model. Therefore only a few bodies are read at once; all others wait, unread, for their turn. Small bodies
// have a gate of their own, which they pass only after they have arrived as a whole, so that no small request waits for a slow
// connection.
const (
	maxBodyBytes = 1 << 20
	smallBytes   = 64 << 10
	readTimeout  = 10 * time.Second // for a large body, once it is its turn
	gateTimeout  = 20 * time.Second // how long a body may wait for its turn
)

var smallBodies, largeBodies = make(gate, 16), make(gate, 4) // one each for the process, as memory is shared too

// gate lets a limited number in at once; the others wait in the order in which they came, as senders to a channel do.
type gate chan struct{}

func (g gate) enter(ctx context.Context) error {
	timer := time.NewTimer(gateTimeout)
	defer timer.Stop()
	select {
	case g <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return api.Busy()
	}
}

func (g gate) leave() { <-g }

// readRequest receives a body of JSON and calls read with it. Nothing of the body stays in memory except what read returns.
func readRequest(w http.ResponseWriter, r *http.Request, read func([]byte) (api.Work, error)) (api.Work, error) {
	if !isJSON(r) {
		return nil, api.Refuse(415, "unsupported_media_type", "", "The Content-Type of the request must be application/json.")
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return nil, api.Refuse(415, "unsupported_media_type", "", "The body of the request must not be compressed.")
	}
	if r.ContentLength > maxBodyBytes {
		w.Header().Set("Connection", "close") // so that the rest of the body is not read
		return nil, tooLarge()
	}
	incoming := http.MaxBytesReader(w, r.Body, maxBodyBytes)
	body := new(bytes.Buffer)
	if _, err := body.ReadFrom(io.LimitReader(incoming, smallBytes)); err != nil {
		return nil, unreadable(w, err)
	}
	bodies := smallBodies
	if body.Len() == smallBytes {
		bodies = largeBodies
	}
	if err := bodies.enter(r.Context()); err != nil {
		return nil, err
	}
	defer bodies.leave()
	if body.Len() == smallBytes {
		http.NewResponseController(w).SetReadDeadline(time.Now().Add(readTimeout))
		if _, err := body.ReadFrom(incoming); err != nil {
			return nil, unreadable(w, err)
		}
	}
	return read(body.Bytes())
}

// isJSON reports whether a body may be JSON. Clients that do not say so (litellm) or that call it a form (curl -d) send JSON
// too. A browser has to say it: any page may send a form, but only pages of the server itself may send JSON.
func isJSON(r *http.Request) bool {
	said := r.Header.Get("Content-Type")
	kind, _, err := mime.ParseMediaType(said)
	browser := r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "" || r.Header.Get("Referer") != ""
	return err == nil && kind == "application/json" || !browser && (said == "" || kind == "application/x-www-form-urlencoded")
}

func tooLarge() *api.Error {
	return api.Refuse(413, "request_too_large", "", "The body of the request is too large: at most %d bytes are read.", maxBodyBytes)
}

// unreadable returns the refusal for a body that could not be read to its end.
func unreadable(w http.ResponseWriter, err error) *api.Error {
	if most := new(http.MaxBytesError); errors.As(err, &most) {
		return tooLarge()
	}
	w.Header().Set("Connection", "close")
	return api.Refuse(400, "invalid_body", "", "The body of the request cannot be read to its end.")
}
