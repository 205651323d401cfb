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
	writeTimeout  = 30 * time.Second // a client that does not take a part of an answer within this time is gone
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

func refuse(w http.ResponseWriter, r *http.Request, e *api.Error) {
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(e.RetryAfter))
	}
	writeJSON(w, e.Status, errorBody(r, e))
}

// errorBody returns a refusal in the shape of the API whose path was asked for: OpenAI's, or ollama's, which is a sentence.
func errorBody(r *http.Request, e *api.Error) any {
	if isOllama(r) {
		return map[string]string{"error": e.Message}
	}
	return api.ErrorBody{Error: e}
}

// answering makes an HTTP handler of one of api's methods.
func answering(read func(body []byte) (api.Work, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		out := &stream{w: w, control: control, lines: isOllama(r)}
		work, err := readRequest(w, r, read)
		if err == nil {
			control.SetReadDeadline(time.Time{}) // the request has been read; from now on only a disconnect ends it
			ctx, cancel := context.WithTimeout(r.Context(), answerTimeout)
			defer cancel()
			err = work(ctx, out.send)
		}
		if err != nil {
			out.fail(r, err)
		} else if out.begun && !out.lines {
			out.part([]byte("[DONE]"))
		}
	}
}

// stream writes what api sends: one JSON value, server-sent events, or lines of JSON.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	lines   bool // ollama's clients get lines
	begun   bool // whether a stream has begun
}

func (s *stream) send(value any) error {
	line, isLine := value.(*api.Line)
	_, isChunk := value.(*api.Chunk)
	switch {
	case isChunk || isLine && (!line.Done || s.begun):
		data, err := json.Marshal(value)
		if err != nil {
			panic(err) // our own structs
		}
		return s.part(data)
	case value == any(api.Waiting{}):
		if s.lines { // lines of JSON have no comments
			return nil
		}
		return s.write(": waiting\n\n") // a comment, which clients ignore
	}
	s.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	return writeJSON(s.w, 200, value)
}

// part sends a part of a stream.
func (s *stream) part(data []byte) error {
	if s.lines {
		return s.write(string(data) + "\n")
	}
	return s.write("data: " + string(data) + "\n\n")
}

// write sends text as a part of a stream; the header comes before the first part.
func (s *stream) write(text string) error {
	if !s.begun {
		s.begun = true
		s.w.Header().Set("Content-Type", s.contentType())
		s.w.WriteHeader(200)
	}
	s.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := io.WriteString(s.w, text); err != nil {
		return err
	}
	return s.control.Flush()
}

func (s *stream) contentType() string {
	if s.lines {
		return "application/x-ndjson"
	}
	return "text/event-stream; charset=utf-8"
}

// fail tells the client, if it is still there, what went wrong.
func (s *stream) fail(r *http.Request, err error) {
	var e *api.Error
	switch {
	case errors.As(err, &e):
	case r.Context().Err() != nil: // the client is gone, or the server is stopping
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
		refuse(s.w, r, e)
		return
	}
	if data, err := json.Marshal(errorBody(r, e)); err == nil {
		s.part(data)
	}
}
