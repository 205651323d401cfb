package bundle

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// fields reads one JSON object key by key. The first thing that is wrong is kept in *failed and every later read
// returns a zero value, so a caller reads all it needs and looks once. Unknown keys are ignored.
type fields struct {
	path   string // "model." inside the object "model", "" at the top
	values map[string]json.RawMessage
	failed *error
}

// parseFields reads data as one JSON object.
func parseFields(data []byte) (fields, *error) {
	failed := new(error)
	f := fields{failed: failed}
	if !json.Valid(data) {
		*failed = fmt.Errorf("it is not valid JSON")
	} else if err := json.Unmarshal(data, &f.values); err != nil || f.values == nil {
		*failed = fmt.Errorf("it does not hold a JSON object")
	}
	return f, failed
}

func (f fields) fail(key, what string) {
	if *f.failed == nil {
		*f.failed = fmt.Errorf("%q %s", f.path+key, what)
	}
}

// read decodes the value of key into a pointer and reports whether that went well; want names the type for the reader.
func (f fields) read(key, want string, into any) bool {
	if *f.failed != nil {
		return false
	}
	raw, ok := f.values[key]
	if !ok {
		f.fail(key, "is missing")
		return false
	}
	// json.Unmarshal takes null for anything.
	if bytes.Equal(raw, []byte("null")) || json.Unmarshal(raw, into) != nil {
		f.fail(key, "is not "+want)
		return false
	}
	return true
}

func (f fields) text(key string) (v string) {
	f.read(key, "a string", &v)
	return v
}

func (f fields) flag(key string) (v bool) {
	f.read(key, "true or false", &v)
	return v
}

// integer returns a whole number within lo..hi.
func (f fields) integer(key string, lo, hi int64) (v int64) {
	if f.read(key, "a whole number", &v) && (v < lo || v > hi) {
		f.fail(key, fmt.Sprintf("is %d, it must be within %d..%d", v, lo, hi))
		return 0
	}
	return v
}

// number returns a number within lo..hi.
func (f fields) number(key string, lo, hi float64) (v float64) {
	if f.read(key, "a number", &v) && !(v >= lo && v <= hi) {
		f.fail(key, fmt.Sprintf("is %v, it must be within %v..%v", v, lo, hi))
		return 0
	}
	return v
}

func (f fields) object(key string) fields {
	inner := fields{path: f.path + key + ".", failed: f.failed}
	f.read(key, "an object", &inner.values)
	return inner
}

// objects returns the elements of a list of objects.
func (f fields) objects(key string) []fields {
	var list []map[string]json.RawMessage
	f.read(key, "a list of objects", &list)
	all := make([]fields, len(list))
	for i, values := range list {
		all[i] = fields{path: fmt.Sprintf("%s%s[%d].", f.path, key, i), values: values, failed: f.failed}
	}
	return all
}

// list returns a JSON list of T; a null inside is as wrong as a value of another type.
func list[T any](f fields, key, want string) []T {
	var pointers []*T
	if !f.read(key, want, &pointers) {
		return nil
	}
	values := make([]T, len(pointers))
	for i, p := range pointers {
		if p == nil {
			f.fail(key, "is not "+want)
			return nil
		}
		values[i] = *p
	}
	return values
}
