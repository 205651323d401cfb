// Package jsonread reads a JSON object that may be hostile or long, member by member, straight from its text. It builds only
// what the caller asks for, so that memory is bounded by the size of the text, and makes no value for the elements of a list
// that stays unread. It accepts what encoding/json accepts and gives the same values. It knows nothing of what is read.
package jsonread

import (
	"encoding/json/jsontext"
	"errors"
	"fmt"
	"iter"
	"strconv"
)

// Object is one JSON object. The first error in it, or in an object inside it, is kept, and every later read returns a zero
// value, so a caller can read all it needs and look at Err once. Unknown members are ignored; of several members with one name
// the last counts; invalid UTF-8 becomes U+FFFD.
type Object struct {
	path    string // "model." inside the object "model", "" at the top
	members map[string][]byte
	failed  *error
}

// Parse reads data as one JSON object.
func Parse(data []byte) Object {
	o := Object{failed: new(error)}
	s := scanner{data: data}
	s.space()
	start := s.at
	valid := s.value(0)
	end := s.at
	if s.space(); !valid || s.at < len(data) {
		*o.failed = errors.New("it is not valid JSON")
	} else if o.members = members(data[start:end]); o.members == nil {
		*o.failed = errors.New("it does not hold a JSON object")
	}
	return o
}

// members returns the members of a valid object, nil for another value.
func members(raw []byte) map[string][]byte {
	if raw[0] != '{' {
		return nil
	}
	all := make(map[string][]byte)
	s := scanner{data: raw}
	s.object(0, func(key, value []byte) { all[unquote(key)] = value })
	return all
}

// Err returns the first error: a sentence that names the member.
func (o Object) Err() error { return *o.failed }

// Fail records an error about a member, unless there is one already.
func (o Object) Fail(key, format string, args ...any) {
	if *o.failed == nil {
		*o.failed = fmt.Errorf("%q %s", o.path+key, fmt.Sprintf(format, args...))
	}
}

// Has reports whether an optional member is there.
func (o Object) Has(key string) bool { return o.members[key] != nil }

// read passes the text of a member to decode. If decode returns false, the error says that the member is not want, a
// description of its type.
func (o Object) read(key, want string, decode func(raw []byte) bool) (ok bool) {
	if *o.failed != nil {
		return false
	}
	raw := o.members[key]
	if raw == nil {
		o.Fail(key, "is missing")
		return false
	}
	if !decode(raw) {
		o.Fail(key, "is not %s", want)
	}
	return *o.failed == nil
}

// Text returns a string.
func (o Object) Text(key string) (v string) {
	o.read(key, "a string", func(raw []byte) bool {
		if raw[0] != '"' {
			return false
		}
		v = unquote(raw)
		return true
	})
	return v
}

// Flag returns true or false.
func (o Object) Flag(key string) (v bool) {
	o.read(key, "true or false", func(raw []byte) bool {
		v = raw[0] == 't'
		return v || raw[0] == 'f'
	})
	return v
}

// Integer returns a whole number within lo..hi, written without a point or an exponent.
func (o Object) Integer(key string, lo, hi int64) (v int64) {
	if !o.read(key, "a whole number", func(raw []byte) (ok bool) { v, ok = integer(raw); return ok }) {
		return 0
	}
	if v < lo || v > hi {
		o.Fail(key, "is %d, it must be within %d..%d", v, lo, hi)
		return 0
	}
	return v
}

// Number returns a number within lo..hi.
func (o Object) Number(key string, lo, hi float64) (v float64) {
	if !o.read(key, "a number", func(raw []byte) (ok bool) { v, ok = number(raw, 64); return ok }) {
		return 0
	}
	if !(v >= lo && v <= hi) {
		o.Fail(key, "is %v, it must be within %v..%v", v, lo, hi)
		return 0
	}
	return v
}

// Object returns an object inside this one.
func (o Object) Object(key string) Object {
	inner := Object{path: o.path + key + ".", failed: o.failed}
	o.read(key, "an object", func(raw []byte) bool {
		inner.members = members(raw)
		return inner.members != nil
	})
	return inner
}

// Objects iterates over a list of objects until there is an error.
func (o Object) Objects(key string) iter.Seq[Object] {
	return func(yield func(Object) bool) {
		o.read(key, "a list of objects", func(raw []byte) bool {
			n, more := 0, true
			return elements(raw, func(value []byte) bool {
				inner := Object{fmt.Sprintf("%s%s[%d].", o.path, key, n), members(value), o.failed}
				n++
				if inner.members == nil {
					return false
				}
				more = yield(inner)
				return more && *o.failed == nil
			}) || !more
		})
	}
}

func integer(raw []byte) (int64, bool) {
	v, err := strconv.ParseInt(string(raw), 10, 64)
	return v, err == nil
}

func number(raw []byte, bits int) (float64, bool) {
	if raw[0] != '-' && (raw[0] < '0' || raw[0] > '9') { // ParseFloat also takes NaN
		return 0, false
	}
	v, err := strconv.ParseFloat(string(raw), bits)
	return v, err == nil // an error means that it is too large
}

// unquote returns the text of a valid string.
func unquote(raw []byte) string {
	if inner, ok := verbatim(raw); ok {
		return string(inner)
	}
	text, _ := jsontext.AppendUnquote(nil, raw) // its only error is about UTF-8, which it has repaired
	return string(text)
}
