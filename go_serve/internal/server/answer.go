package server

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"minitron/internal/api"
	"minitron/internal/fault"
)

// Limits of one request.
const (
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

// answering makes a handler of one of api's methods.
func answering(read func(body []byte) (api.Work, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		out := &stream{w: w, control: control}
		work, err := readRequest(w, r, read)
		if err == nil {
			control.SetReadDeadline(time.Time{}) // the time to read is over; from now on only a disconnect counts
			ctx, cancel := context.WithTimeout(r.Context(), answerTimeout)
			defer cancel()
			err = work(ctx, out.send)
		}
		if err != nil {
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
	switch value.(type) {
	case *api.Chunk:
		data, err := json.Marshal(value)
		if err != nil {
			panic(err) // our own structs
		}
		return s.event(data)
	case api.Waiting:
		return s.write(": waiting\n\n") // a comment, which clients pass over
	}
	s.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	return writeJSON(s.w, 200, value)
}

func (s *stream) event(data []byte) error { return s.write("data: " + string(data) + "\n\n") }

// write sends a part of an event stream.
func (s *stream) write(text string) error {
	if !s.begun {
		s.begun = true
		s.w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		s.w.WriteHeader(200)
	}
	s.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := io.WriteString(s.w, text); err != nil {
		return err
	}
	return s.control.Flush()
}

// fail tells the client, if it is still there, what went wrong.
func (s *stream) fail(r *http.Request, err error) {
	var e *api.Error
	switch {
	case errors.As(err, &e):
	case r.Context().Err() != nil: // nobody listens, or the server is going down
		e = api.Refuse(503, "server_stopping", "", "The server is stopping.")
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
