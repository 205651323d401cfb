// Package fault holds the one kind of error that is meant for a person: a plain sentence and what to do about it. The code that
// finds a failure makes the error; only main prints it.
package fault

import (
	"errors"
	"fmt"
)

// Error is a failure that a user can cause and repair.
type Error struct {
	Message string // one sentence, lower case, no full stop
	Hint    string // what to do; may be empty
	Cause   error  // the error that led to this one; may be nil
}

// Error returns the sentence without the hint.
func (e *Error) Error() string { return e.Message }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// New makes an error from a hint and a formatted sentence. A %w in the format becomes the cause.
func New(hint, format string, args ...any) error {
	wrapped := fmt.Errorf(format, args...)
	return &Error{Message: wrapped.Error(), Hint: hint, Cause: errors.Unwrap(wrapped)}
}

// Hint returns the hint of the outermost Error in err's chain, or "".
func Hint(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Hint
	}
	return ""
}
