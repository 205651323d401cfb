package server

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"

	"minitron/internal/api"
	"minitron/internal/fault"
)

// Limits of one request.
const (
	maxBodyBytes  = 1 << 20
	answerTimeout = 10 * time.Minute
	writeTimeout  = 30 * time.Second // a client that reads no more than this slowly is gone
)

func writeJSON(w http.ResponseWriter, status int, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		panic(err) // our own structs
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)+1))
	w.WriteHeader(status)
	_, err = w.Write(append(data, '\n'))
	return err
}

func refuse(w http.ResponseWriter, e *api.Error) {
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(e.RetryAfter))
	}
	writeJSON(w, e.Status, api.ErrorBody{Error: e})
}

// readBody reads a body of JSON.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, *api.Error) {
	tooLarge := api.Refuse(413, "request_too_large", "", "The body of the request is too large: at most %d bytes are read.", maxBodyBytes)
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, api.Refuse(415, "unsupported_media_type", "", "The Content-Type of the request must be application/json.")
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return nil, api.Refuse(415, "unsupported_media_type", "", "The body of the request must not be compressed.")
	}
	if r.ContentLength > maxBodyBytes {
		w.Header().Set("Connection", "close") // rather than reading what nobody wants
		return nil, tooLarge
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodyBytes))
	var most *http.MaxBytesError
	switch {
	case errors.As(err, &most):
		return nil, tooLarge
	case err != nil:
		w.Header().Set("Connection", "close")
		return nil, api.Refuse(400, "invalid_body", "", "The body of the request cannot be read to its end.")
	}
	return body, nil
}

// answering makes a handler of one of api's methods.
func answering(carryOut func(context.Context, []byte, func(any) error) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, refusal := readBody(w, r)
		if refusal != nil {
			refuse(w, refusal)
			return
		}
		control := http.NewResponseController(w)
		control.SetReadDeadline(time.Time{}) // the time to read is over; from now on only a disconnect counts
		ctx, cancel := context.WithTimeout(r.Context(), answerTimeout)
		defer cancel()
		out := &stream{w: w, control: control}
		if err := carryOut(ctx, body, out.send); err != nil {
			out.fail(r, err)
		} else if out.begun {
			out.event([]byte("[DONE]"))
		}
	}
}

// stream writes what api sends: one JSON, or server-sent events.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	begun   bool // of events
}

func (s *stream) send(value any) error {
	if _, ok := value.(*api.Chunk); !ok {
		s.control.SetWriteDeadline(time.Now().Add(writeTimeout))
		return writeJSON(s.w, 200, value)
	}
	if !s.begun {
		s.begun = true
		s.w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		s.w.WriteHeader(200)
	}
	data, err := json.Marshal(value)
	if err != nil {
		panic(err) // our own structs
	}
	return s.event(data)
}

func (s *stream) event(data []byte) error {
	s.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	event := append(append([]byte("data: "), data...), "\n\n"...)
	if _, err := s.w.Write(event); err != nil {
		return err
	}
	return s.control.Flush()
}

// fail tells the client, if it is still there, what went wrong.
func (s *stream) fail(r *http.Request, err error) {
	var e *api.Error
	switch {
	case r.Context().Err() != nil: // nobody listens, or the server is going down
		e = api.Refuse(503, "server_stopping", "", "The server is stopping.")
	case errors.As(err, &e):
	case errors.Is(err, context.DeadlineExceeded):
		e = api.Refuse(504, "timeout", "", "The answer took too long.")
	case fault.Hint(err) != "":
		e = api.Refuse(500, "model_error", "", "The model failed: %v; %s.", err, fault.Hint(err))
	default:
		e = api.Refuse(500, "internal_error", "", "The answer failed: %v.", err)
	}
	if !s.begun {
		s.control.SetWriteDeadline(time.Now().Add(writeTimeout))
		refuse(s.w, e)
		return
	}
	if data, err := json.Marshal(api.ErrorBody{Error: e}); err == nil {
		s.event(data)
	}
}
