package edit

import (
	"slices"
	"unicode"
)

// line is the text being edited. The cursor stands between clusters.
type line struct {
	text   []rune // may hold newlines
	at     int    // the cursor
	killed []rune // what the last kill took, for yank
}

func (l *line) set(text []rune) { l.text, l.at = text, len(text) }

func (l *line) insert(text []rune) {
	l.text = slices.Insert(l.text, l.at, text...)
	l.at = settle(l.text, l.at+len(text)) // what stood here may be a part of what came
}

// cut removes the text from one place to another and returns it.
func (l *line) cut(from, to int) []rune {
	gone := slices.Clone(l.text[from:to])
	l.text = slices.Delete(l.text, from, to)
	l.at = settle(l.text, from) // the neighbours may have become one
	return gone
}

// kill is a cut that yank can undo; kills in a row add up.
func (l *line) kill(from, to int, again bool) {
	backwards := to == l.at
	gone := l.cut(from, to)
	switch {
	case !again:
		l.killed = gone
	case backwards:
		l.killed = append(gone, l.killed...)
	default:
		l.killed = append(l.killed, gone...)
	}
}

// start and end return the ends of the row of text (between newlines) that the cursor is in.
func (l *line) start() int {
	i := l.at
	for i > 0 && l.text[i-1] != '\n' {
		i--
	}
	return i
}

func (l *line) end() int {
	i := l.at
	for i < len(l.text) && l.text[i] != '\n' {
		i++
	}
	return i
}

// left and right return the next place for the cursor.
func (l *line) left() int  { return previous(l.text, l.at) }
func (l *line) right() int { return next(l.text, l.at) }

// inWord counts a mark that stands on a letter too.
func inWord(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) || r == '_'
}

func notSpace(r rune) bool { return !unicode.IsSpace(r) }

// wordLeft and wordRight skip what is not in a word, then the word.
func (l *line) wordLeft(in func(rune) bool) int {
	i := l.at
	for i > 0 && !in(l.text[i-1]) {
		i--
	}
	for i > 0 && in(l.text[i-1]) {
		i--
	}
	return settle(l.text, i)
}

func (l *line) wordRight(in func(rune) bool) int {
	i := l.at
	for i < len(l.text) && !in(l.text[i]) {
		i++
	}
	for i < len(l.text) && in(l.text[i]) {
		i++
	}
	return settle(l.text, i)
}

// swap exchanges the characters around the cursor, at the end the last two.
func (l *line) swap() {
	middle := l.at
	if middle == len(l.text) {
		middle = l.left()
	}
	if middle == 0 || middle == len(l.text) {
		return
	}
	from, to := previous(l.text, middle), next(l.text, middle)
	swapped := slices.Concat(l.text[middle:to], l.text[from:middle])
	l.cut(from, to)
	l.at = from
	l.text = slices.Insert(l.text, from, swapped...)
	l.at = settle(l.text, to)
}

// up and down move to the row of text above or below, to about the same column. They report whether there is one.
func (l *line) up() bool {
	start := l.start()
	if start == 0 {
		return false
	}
	column := columns(l.text[start:l.at])
	l.at = start - 1
	l.at = atColumn(l.text, l.start(), column)
	return true
}

func (l *line) down() bool {
	column, end := columns(l.text[l.start():l.at]), l.end()
	if end == len(l.text) {
		return false
	}
	l.at = atColumn(l.text, end+1, column)
	return true
}

// columns returns how wide a text without newlines is.
func columns(text []rune) (sum int) {
	for i := 0; i < len(text); {
		end := next(text, i)
		sum += width(text[i:end])
		i = end
	}
	return sum
}

// atColumn returns the place in the row of text at start that a column belongs to.
func atColumn(text []rune, start, column int) int {
	i := start
	for i < len(text) && text[i] != '\n' {
		end := next(text, i)
		if column -= width(text[i:end]); column < 0 {
			break
		}
		i = end
	}
	return i
}
