package jsonread

import (
	"bytes"
	"strings"
)

// maxDepth is how deeply objects and lists may be nested; it is encoding/json's limit.
const maxDepth = 10000

// scanner is a place in JSON text. Its methods move it past what they are named after. They return false if the text holds
// something else; the place is then meaningless.
type scanner struct {
	data []byte
	at   int
}

// peek returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	if s.at < len(s.data) {
		return s.data[s.at]
	}
	return 0
}

// take moves past b, which is not 0, if that is the next byte.
func (s *scanner) take(b byte) bool {
	if s.peek() != b {
		return false
	}
	s.at++
	return true
}

func (s *scanner) space() {
	for s.at < len(s.data) && (s.data[s.at] == ' ' || s.data[s.at] == '\n' || s.data[s.at] == '\t' || s.data[s.at] == '\r') {
		s.at++
	}
}

// value takes any value; depth is the number of objects and lists around it.
func (s *scanner) value(depth int) bool {
	switch s.peek() {
	case '"':
		return s.text()
	case '{':
		return s.object(depth+1, nil)
	case '[':
		return s.list(depth + 1)
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	}
	return s.number()
}

func (s *scanner) word(word string) bool {
	if !bytes.HasPrefix(s.data[s.at:], []byte(word)) {
		return false
	}
	s.at += len(word)
	return true
}

// special marks the bytes inside a string that need handling.
var special = func() (marks [256]bool) {
	for b := range ' ' {
		marks[b] = true
	}
	marks['"'], marks['\\'] = true, true
	return marks
}()

// text takes a string, quotes included.
func (s *scanner) text() bool {
	if !s.take('"') {
		return false
	}
	for at := s.at; at < len(s.data); at++ {
		if !special[s.data[at]] {
			continue
		}
		s.at = at + 1
		if s.data[at] == '"' {
			return true
		}
		if s.data[at] != '\\' || !s.escape() {
			return false
		}
		at = s.at - 1
	}
	return false
}

// escape takes what follows a backslash.
func (s *scanner) escape() bool {
	if !s.take('u') {
		s.at++
		return s.at <= len(s.data) && strings.IndexByte(`"\/bfnrt`, s.data[s.at-1]) >= 0
	}
	for range 4 {
		if b := s.peek(); (b < '0' || b > '9') && (b < 'a' || b > 'f') && (b < 'A' || b > 'F') {
			return false
		}
		s.at++
	}
	return true
}

func (s *scanner) number() bool {
	s.take('-')
	if !s.take('0') && !s.digits() {
		return false
	}
	if s.take('.') && !s.digits() {
		return false
	}
	if s.take('e') || s.take('E') {
		if !s.take('+') {
			s.take('-')
		}
		return s.digits()
	}
	return true
}

// digits takes one digit or more.
func (s *scanner) digits() bool {
	start := s.at
	for s.at < len(s.data) && s.data[s.at]-'0' <= 9 {
		s.at++
	}
	return s.at > start
}

// object takes an object, the outermost being at depth 1, and passes its members to use, unless that is nil: the key with its
// quotes, and the value.
func (s *scanner) object(depth int, use func(key, value []byte)) bool {
	if depth > maxDepth || !s.take('{') {
		return false
	}
	s.space()
	if s.take('}') {
		return true
	}
	for {
		key := s.at
		if !s.text() {
			return false
		}
		keyEnd := s.at
		s.space()
		if !s.take(':') {
			return false
		}
		s.space()
		value := s.at
		if !s.value(depth) {
			return false
		}
		if use != nil {
			use(s.data[key:keyEnd], s.data[value:s.at])
		}
		s.space()
		if s.take('}') {
			return true
		}
		if !s.take(',') {
			return false
		}
		s.space()
	}
}

// list takes a list.
func (s *scanner) list(depth int) bool {
	if depth > maxDepth || !s.take('[') {
		return false
	}
	s.space()
	if s.take(']') {
		return true
	}
	for {
		if !s.value(depth) {
			return false
		}
		s.space()
		if s.take(']') {
			return true
		}
		if !s.take(',') {
			return false
		}
		s.space()
	}
}
