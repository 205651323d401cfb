package api

import "fmt"

// Error is a refusal in OpenAI's shape: {"error": {"message", "type", "param", "code"}}.
type Error struct {
	Status     int     `json:"-"` // the status of the HTTP response
	RetryAfter int     `json:"-"` // seconds; 0 where trying again does not help
	Message    string  `json:"message"`
	Type       string  `json:"type"`
	Param      *string `json:"param"`
	Code       *string `json:"code"`
}

func (e *Error) Error() string { return e.Message }

// ErrorBody is an Error as it is sent.
type ErrorBody struct {
	Error *Error `json:"error"`
}

// The types of errors that OpenAI's clients know.
const (
	invalidRequest = "invalid_request_error"
	serverError    = "server_error"
)

// Refuse makes an error; an empty param or code is null.
func Refuse(status int, code, param, format string, args ...any) *Error {
	e := &Error{Status: status, Type: invalidRequest, Message: fmt.Sprintf(format, args...)}
	if status >= 500 {
		e.Type = serverError
	}
	if code != "" {
		e.Code = &code
	}
	if param != "" {
		e.Param = &param
	}
	return e
}
