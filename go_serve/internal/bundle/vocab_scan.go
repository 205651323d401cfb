package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// vocab.json has long lists, and the program's first prompt waits for them: its reader makes no value for each element.
// It accepts what encoding/json accepts, and gives the same values; FuzzVocab compares the two.

// longFields is one JSON object whose long values are read fast.
type longFields struct{ fields }

// scanFields reads data as one JSON object, as parseFields does.
func scanFields(data []byte) (longFields, *error) {
	f := longFields{fields{failed: new(error)}}
	s := scanner{data: data}
	s.space()
	start := s.at
	valid := s.value(0)
	end := s.at
	if s.space(); !valid || s.at < len(data) {
		*f.failed = errors.New("it is not valid JSON")
	} else if f.values = members(data[start:end]); f.values == nil {
		*f.failed = errors.New("it does not hold a JSON object")
	}
	return f, f.failed
}

// members returns the members of a valid object, nil for another value. Of several with the same name the last one
// counts.
func members(raw []byte) map[string]json.RawMessage {
	if raw[0] != '{' {
		return nil
	}
	values := make(map[string]json.RawMessage)
	s := scanner{data: raw}
	s.object(0, func(key, value []byte) { values[unquote(key)] = value })
	return values
}

// longText is text for a value that is worth it.
func (f longFields) longText(key string) string {
	raw, ok := f.beginning(key, '"', "a string")
	if !ok {
		return ""
	}
	return unquote(raw)
}

// longObject is object for a value that is worth it.
func (f longFields) longObject(key string) longFields {
	inner := longFields{fields{path: f.path + key + ".", failed: f.failed}}
	if raw, ok := f.beginning(key, '{', "an object"); ok {
		inner.values = members(raw)
	}
	return inner
}

// beginning returns the value of key if it begins with a byte; want names its type for the reader.
func (f longFields) beginning(key string, with byte, want string) (raw []byte, ok bool) {
	if *f.failed != nil {
		return nil, false
	}
	if raw, ok = f.values[key]; !ok {
		f.fail(key, "is missing")
	} else if ok = raw[0] == with; !ok {
		f.fail(key, "is not "+want)
	}
	return raw, ok
}

// strings returns a list of strings, which share one piece of memory.
func (f longFields) strings(key string, most int) []string {
	var text strings.Builder
	values, _ := readList(f, key, "a list of strings", most, func(value []byte) (string, bool) {
		if value[0] != '"' {
			return "", false
		}
		if text.Cap() == 0 {
			text.Grow(len(f.values[key]))
		}
		start := text.Len()
		if inner, ok := verbatim(value); ok {
			text.Write(inner)
		} else {
			text.WriteString(unquote(value))
		}
		return text.String()[start:], true
	})
	return values
}

// floats returns a list of numbers as float32.
func (f longFields) floats(key string, most int) []float32 {
	values, _ := readList(f, key, "a list of numbers", most, func(value []byte) (float32, bool) {
		if whole, ok := wholeNumber(value); ok {
			return whole, true
		}
		number, err := strconv.ParseFloat(string(value), 32)
		return float32(number), err == nil // else it is too large, or no number
	})
	return values
}

// wholeNumber reads what nearly all scores are: "-123.0", few enough digits for a float32 to hold all of them.
func wholeNumber(text []byte) (float32, bool) {
	digits, ok := bytes.CutSuffix(text, []byte(".0"))
	digits, negative := bytes.CutPrefix(digits, []byte("-"))
	whole := int32(0)
	for _, b := range digits {
		if b < '0' || b > '9' {
			return 0, false
		}
		whole = 10*whole + int32(b-'0')
	}
	if negative {
		whole = -whole
	}
	return float32(whole), ok && len(digits) <= 7 && whole != 0 // no -0, and 10^7 < 2^24
}

// readList gives the elements of a list, which is valid JSON, to read until that returns false. There may be so many at most.
func readList[T any](f longFields, key, want string, most int, read func(value []byte) (T, bool)) ([]T, bool) {
	raw, ok := f.beginning(key, '[', want)
	if !ok {
		return nil, false
	}
	values := make([]T, 0, min(bytes.Count(raw, []byte{','})+1, most, 1<<16)) // commas may be in strings
	for at := 1; ; {
		for ; raw[at] <= ' ' || raw[at] == ','; at++ {
		}
		if raw[at] == ']' {
			return values, true
		}
		end := at + 1
		if raw[at] == '"' {
			for ; raw[end] != '"'; end++ {
				if raw[end] == '\\' {
					end++
				}
			}
			end++
		} else {
			for ; raw[end] > ' ' && raw[end] != ',' && raw[end] != ']'; end++ {
			}
		}
		if len(values) == most {
			f.fail(key, fmt.Sprintf("has more than %d elements", most))
			return nil, false
		}
		value, ok := read(raw[at:end])
		if !ok { // also where it is an object or a list, whose end this loop does not find
			f.fail(key, "is not "+want)
			return nil, false
		}
		values = append(values, value)
		at = end
	}
}

// unquote returns the text of a valid string.
func unquote(raw []byte) (text string) {
	if inner, ok := verbatim(raw); ok {
		return string(inner)
	}
	if err := json.Unmarshal(raw, &text); err != nil {
		panic("bundle: " + err.Error()) // it was valid
	}
	return text
}

// verbatim returns what stands between a string's quotes, if that is its text.
func verbatim(raw []byte) (inner []byte, ok bool) {
	inner = raw[1 : len(raw)-1]
	return inner, bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner)
}
