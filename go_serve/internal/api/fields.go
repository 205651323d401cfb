package api

import (
	"encoding/json/jsontext"
	"encoding/json/v2"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"

	"minitron/internal/bundle"
)

// fields reads the members of one JSON object. The first error is kept in *failed; after it every read returns the default that
// it was given for a missing member, so a caller can read all it needs and check for an error once. A member that is null
// counts as missing.
type fields struct {
	path string // "messages[1]." inside a message, "" at the top
	object
	failed **Error
}

// object is a JSON object.
type object struct {
	keys   []string // in the order of the text
	values map[string]jsontext.Value
}

var errNoObject = errors.New("no object")

func (o *object) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() != '{' {
		if err := d.SkipValue(); err != nil {
			return err
		}
		return errNoObject
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	o.values = make(map[string]jsontext.Value)
	for d.PeekKind() != '}' {
		key, err := d.ReadToken()
		if err != nil {
			return err
		}
		name := key.String()
		value, err := d.ReadValue()
		if err != nil {
			return err
		}
		o.keys, o.values[name] = append(o.keys, name), value.Clone()
	}
	_, err := d.ReadToken()
	return err
}

// parseFields reads the body of a request. The JSON parser is strict: it refuses a member that comes twice, invalid UTF-8 and
// too deep nesting.
func parseFields(body []byte) (fields, *Error) {
	f := fields{failed: new(*Error)}
	err := json.Unmarshal(body, &f.object)
	var syntax *jsontext.SyntacticError
	switch {
	case err == nil:
		return f, nil
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return f, Refuse(400, "invalid_json", "", "The body of the request is not complete JSON.")
	case errors.As(err, &syntax):
		return f, Refuse(400, "invalid_json", "", "The body of the request is not valid JSON, at byte %d.", syntax.ByteOffset)
	}
	return f, Refuse(400, "invalid_json", "", "The body of the request must be a JSON object.")
}

// inner reads a value as an object.
func (f fields) inner(path string, value jsontext.Value) fields {
	inner := fields{path: path + ".", failed: f.failed}
	if json.Unmarshal(value, &inner.object) != nil {
		f.failType(path, "an object", value)
	}
	return inner
}

func (f fields) fail(e *Error) {
	if *f.failed == nil {
		*f.failed = e
	}
}

func (f fields) failType(path, want string, got jsontext.Value) {
	f.fail(Refuse(400, "invalid_type", path, "Invalid type for '%s': expected %s, but got %s instead.", path, want, kindName(got)))
}

func (f fields) failValue(key, format string, args ...any) {
	path := f.path + key
	f.fail(Refuse(400, "invalid_value", path, "Invalid value for '%s': %s", path, fmt.Sprintf(format, args...)))
}

func kindName(value jsontext.Value) string {
	switch value.Kind() {
	case 'n':
		return "null"
	case 't', 'f':
		return "a boolean"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case '[':
		return "an array"
	}
	return "an object"
}

// get returns a member; ok is false if it is missing or null, or after an error.
func (f fields) get(key string) (value jsontext.Value, ok bool) {
	value, ok = f.values[key]
	return value, ok && value.Kind() != 'n' && *f.failed == nil
}

// has reports whether a member is there, as get does.
func (f fields) has(key string) bool {
	_, ok := f.get(key)
	return ok
}

func (f fields) text(key, missing string) string {
	value, ok := f.get(key)
	if !ok {
		return missing
	}
	return f.string(f.path+key, value)
}

// string reads a value as a string.
func (f fields) string(path string, value jsontext.Value) (s string) {
	if value.Kind() != '"' || json.Unmarshal(value, &s) != nil {
		f.failType(path, "a string", value)
	}
	return s
}

func (f fields) flag(key string, missing bool) bool {
	value, ok := f.get(key)
	if !ok {
		return missing
	}
	switch value.Kind() {
	case 't':
		return true
	case 'f':
		return false
	}
	f.failType(f.path+key, "a boolean", value)
	return missing
}

// number reads a number within bounds.
func (f fields) number(key string, within bundle.Range, missing float64) float64 {
	value, ok := f.get(key)
	if !ok {
		return missing
	}
	if value.Kind() != '0' {
		f.failType(f.path+key, "a number", value)
		return missing
	}
	v, _ := strconv.ParseFloat(string(value), 64) // infinite where it is too large
	if !within.Holds(v) {
		f.failValue(key, "it must be within %v to %v.", within[0], within[1])
		return missing
	}
	return v
}

// integer reads a whole number within lo..hi; 2.0 and 2e0 are 2.
func (f fields) integer(key string, lo, hi, missing int) int {
	value, ok := f.get(key)
	if !ok {
		return missing
	}
	if value.Kind() != '0' {
		f.failType(f.path+key, "an integer", value)
		return missing
	}
	v, err := strconv.ParseFloat(string(value), 64)
	if err == nil && v != math.Trunc(v) {
		f.fail(Refuse(400, "invalid_type", f.path+key, "Invalid type for '%s': expected an integer, but got a decimal number instead.", f.path+key))
		return missing
	}
	if !(v >= float64(lo) && v <= float64(hi)) {
		f.failValue(key, "it must be within %d to %d.", lo, hi)
		return missing
	}
	return int(v)
}

// seed reads a whole number of 64 bits, with or without a sign.
func (f fields) seed(key string) (seed uint64, ok bool) {
	value, ok := f.get(key)
	if !ok {
		return 0, false
	}
	if value.Kind() != '0' {
		f.failType(f.path+key, "an integer", value)
		return 0, false
	}
	if v, err := strconv.ParseInt(string(value), 10, 64); err == nil {
		return uint64(v), true
	}
	v, err := strconv.ParseUint(string(value), 10, 64)
	if err != nil {
		f.failValue(key, "it must be a whole number of 64 bits.")
	}
	return v, err == nil
}

// list reads a value as an array and returns its elements, which are not parsed yet.
func (f fields) list(path string, value jsontext.Value) (values []jsontext.Value) {
	if value.Kind() != '[' || json.Unmarshal(value, &values) != nil {
		f.failType(path, "an array", value)
	}
	return values
}

// compact returns a value without the white space between its tokens.
func compact(value jsontext.Value) string {
	value = value.Clone()
	value.Compact() // an error would be of a value that is no JSON, which none is that came through the parser
	return string(value)
}

// isEmpty reports whether a value asks for nothing: null, false, "", [], {}.
func isEmpty(value jsontext.Value) bool {
	switch compact(value) {
	case "null", "false", `""`, "[]", "{}":
		return true
	}
	return false
}
