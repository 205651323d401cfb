package jsonread

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// Strings returns a list of at most that many strings, which share one piece of memory.
func (o Object) Strings(key string, most int) []string {
	var text strings.Builder
	return list(o, key, "a list of strings", most, func(value []byte) (string, bool) {
		if value[0] != '"' {
			return "", false
		}
		if text.Cap() == 0 {
			text.Grow(len(o.members[key]))
		}
		start := text.Len()
		if inner, ok := verbatim(value); ok {
			text.Write(inner)
		} else {
			text.WriteString(unquote(value))
		}
		return text.String()[start:], true
	})
}

// Integers returns a list of at most that many whole numbers.
func (o Object) Integers(key string, most int) []int {
	return list(o, key, "a list of whole numbers", most, func(value []byte) (int, bool) {
		v, ok := integer(value)
		return int(v), ok && int64(int(v)) == v
	})
}

// Floats returns a list of at most that many numbers.
func (o Object) Floats(key string, most int) []float32 {
	return list(o, key, "a list of numbers", most, func(value []byte) (float32, bool) {
		if whole, ok := wholeNumber(value); ok {
			return whole, true
		}
		v, ok := number(value, 32)
		return float32(v), ok
	})
}

// wholeNumber reads numbers such as "-123.0", with few enough digits for a float32 to hold them exactly: nearly all scores of a
// vocabulary are of this kind.
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

// list reads the elements of a list, which may have at most that many.
func list[T any](o Object, key, want string, most int, read func(value []byte) (T, bool)) (values []T) {
	ok := o.read(key, want, func(raw []byte) bool {
		values = make([]T, 0, min(bytes.Count(raw, []byte{','})+1, most, 1<<16)) // commas may be in strings
		return elements(raw, func(value []byte) bool {
			if len(values) == most {
				o.Fail(key, "has more than %d elements", most)
				return false
			}
			v, ok := read(value)
			values = append(values, v)
			return ok
		})
	})
	if !ok {
		return nil
	}
	return values
}

// elements passes the elements of a list, which is valid JSON, to use until use returns false, and reports whether use never
// did. It returns false for a value that is no list.
func elements(raw []byte, use func(value []byte) bool) bool {
	if raw[0] != '[' {
		return false
	}
	s := scanner{data: raw}
	for at := 1; ; {
		for ; raw[at] <= ' ' || raw[at] == ','; at++ {
		}
		end := at + 1
		switch raw[at] {
		case ']':
			return true
		case '"':
			for ; raw[end] != '"'; end++ {
				if raw[end] == '\\' {
					end++
				}
			}
			end++
		case '{', '[':
			s.at = at
			s.value(0)
			end = s.at
		default:
			for ; raw[end] > ' ' && raw[end] != ',' && raw[end] != ']'; end++ {
			}
		}
		if !use(raw[at:end]) {
			return false
		}
		at = end
	}
}

// verbatim returns the bytes between a string's quotes; ok is false if they are not its text as they stand.
func verbatim(raw []byte) (inner []byte, ok bool) {
	inner = raw[1 : len(raw)-1]
	return inner, bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner)
}
