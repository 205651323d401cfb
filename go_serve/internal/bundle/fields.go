package bundle

import (
	"bytes"
	"encoding/json/jsontext"
	"errors"
	"fmt"
	"iter"
	"strconv"
)

// fields reads one JSON object key by key. The first thing that is wrong is kept in *failed and every later read
// returns a zero value, so a caller reads all it needs and looks once. Unknown keys are ignored. It works on the text of
// the object: nothing is built that the caller does not ask for, so a hostile file cannot make it larger than it is.
type fields struct {
	path   string // "model." inside the object "model", "" at the top
	values map[string]jsontext.Value
	failed *error
}

// lenient takes what other JSON readers take too: of two members with one name the last, and U+FFFD for invalid UTF-8.
var lenient = []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}

// parseFields reads data as one JSON object.
func parseFields(data []byte) (fields, *error) {
	failed := new(error)
	f := fields{failed: failed}
	if !jsontext.Value(data).IsValid(lenient...) {
		*failed = errors.New("it is not valid JSON")
	} else if f.values = cutObject(data); f.values == nil {
		*failed = errors.New("it does not hold a JSON object")
	}
	return f, failed
}

// cutObject returns the raw values of a valid JSON object, as parts of data; nil when it is another value.
func cutObject(data []byte) map[string]jsontext.Value {
	d := jsontext.NewDecoder(bytes.NewReader(data), lenient...)
	if d.PeekKind() != '{' {
		return nil
	}
	d.ReadToken()
	values := make(map[string]jsontext.Value)
	for d.PeekKind() == '"' {
		key, _ := d.ReadToken()
		name := key.String() // valid until the next read only
		values[name] = nextValue(d, data)
	}
	return values
}

// nextValue returns the text of the value that follows in data, which d reads.
func nextValue(d *jsontext.Decoder, data []byte) jsontext.Value {
	value, _ := d.ReadValue()
	end := d.InputOffset()
	return data[end-int64(len(value)) : end]
}

func (f fields) fail(key, what string) {
	if *f.failed == nil {
		*f.failed = fmt.Errorf("%q %s", f.path+key, what)
	}
}

// has reports whether an optional key is there.
func (f fields) has(key string) bool { return f.values[key] != nil }

// read gives the raw value of key to decode and reports whether that went well; want names the type for the reader.
func (f fields) read(key, want string, decode func(jsontext.Value) bool) bool {
	if *f.failed != nil {
		return false
	}
	raw, ok := f.values[key]
	if !ok {
		f.fail(key, "is missing")
		return false
	}
	if !decode(raw) {
		f.fail(key, "is not "+want)
		return false
	}
	return true
}

// scalar decodes one value that is no list and no object into *v.
func scalar[T string | bool | int | int64 | float32 | float64](raw jsontext.Value, v *T) bool {
	var err error
	switch v := any(v).(type) {
	case *string:
		if raw.Kind() != '"' {
			return false
		}
		var text []byte
		text, _ = jsontext.AppendUnquote(nil, raw) // its error is about UTF-8, which it has mended
		*v = string(text)
	case *bool:
		*v = raw.Kind() == 't'
		return *v || raw.Kind() == 'f'
	case *int:
		*v, err = strconv.Atoi(string(raw))
	case *int64:
		*v, err = strconv.ParseInt(string(raw), 10, 64)
	case *float32:
		var wide float64
		wide, err = number(raw, 32)
		*v = float32(wide)
	case *float64:
		*v, err = number(raw, 64)
	}
	return err == nil
}

func number(raw jsontext.Value, bits int) (float64, error) {
	if raw.Kind() != '0' { // ParseFloat also takes NaN
		return 0, errors.New("not a number")
	}
	return strconv.ParseFloat(string(raw), bits)
}

func (f fields) text(key string) (v string) {
	f.read(key, "a string", func(raw jsontext.Value) bool { return scalar(raw, &v) })
	return v
}

// line is text that is shown in one line.
func (f fields) line(key string) string {
	v := f.text(key)
	if len(v) > maxLineBytes {
		f.fail(key, fmt.Sprintf("is longer than %d bytes", maxLineBytes))
		return ""
	}
	return v
}

func (f fields) flag(key string) (v bool) {
	f.read(key, "true or false", func(raw jsontext.Value) bool { return scalar(raw, &v) })
	return v
}

// integer returns a whole number within lo..hi.
func (f fields) integer(key string, lo, hi int64) (v int64) {
	ok := f.read(key, "a whole number", func(raw jsontext.Value) bool { return scalar(raw, &v) })
	if ok && (v < lo || v > hi) {
		f.fail(key, fmt.Sprintf("is %d, it must be within %d..%d", v, lo, hi))
		return 0
	}
	return v
}

// number returns a number within lo..hi.
func (f fields) number(key string, lo, hi float64) (v float64) {
	ok := f.read(key, "a number", func(raw jsontext.Value) bool { return scalar(raw, &v) })
	if ok && !(v >= lo && v <= hi) {
		f.fail(key, fmt.Sprintf("is %v, it must be within %v..%v", v, lo, hi))
		return 0
	}
	return v
}

func (f fields) object(key string) fields {
	inner := fields{path: f.path + key + ".", failed: f.failed}
	f.read(key, "an object", func(raw jsontext.Value) bool {
		inner.values = cutObject(raw)
		return inner.values != nil
	})
	return inner
}

// objects goes through a list of objects until something is wrong.
func (f fields) objects(key string) iter.Seq[fields] {
	return func(yield func(fields) bool) {
		var list jsontext.Value
		f.read(key, "a list of objects", func(raw jsontext.Value) bool {
			list = raw
			return raw.Kind() == '['
		})
		for i, raw := range elements(list) {
			inner := fields{fmt.Sprintf("%s%s[%d].", f.path, key, i), cutObject(raw), f.failed}
			if inner.values == nil {
				f.fail(key, "is not a list of objects")
			}
			if *f.failed != nil || !yield(inner) {
				return
			}
		}
	}
}

// elements goes through the raw values of a valid JSON list; of nothing when it is nil.
func elements(list jsontext.Value) iter.Seq2[int, jsontext.Value] {
	return func(yield func(int, jsontext.Value) bool) {
		if list == nil {
			return
		}
		d := jsontext.NewDecoder(bytes.NewReader(list), lenient...)
		d.ReadToken() // [
		for i := 0; d.PeekKind() != ']'; i++ {
			if !yield(i, nextValue(d, list)) {
				return
			}
		}
	}
}

// list returns a JSON list of T with so many elements at most.
func list[T string | int | float32](f fields, key, want string, most int) (values []T) {
	f.read(key, want, func(raw jsontext.Value) bool {
		if raw.Kind() != '[' {
			return false
		}
		values = []T{}
		for i, element := range elements(raw) {
			if i == most {
				f.fail(key, fmt.Sprintf("has more than %d elements", most))
				return true
			}
			var v T
			if !scalar(element, &v) {
				return false
			}
			values = append(values, v)
		}
		return true
	})
	return values
}
