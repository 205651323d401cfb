package edit

import (
	"slices"
	"strings"
	"unicode"

	"minitron/internal/term"
	"minitron/internal/width"
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
	l.at = width.Settle(l.text, l.at+len(text)) // text beside the new one may form one cluster with it
}

// cut removes the text from one place to another and returns it.
func (l *line) cut(from, to int) []rune {
	gone := slices.Clone(l.text[from:to])
	l.text = slices.Delete(l.text, from, to)
	l.at = width.Settle(l.text, from) // the neighbours may have become one cluster
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
func (l *line) left() int  { return width.Previous(l.text, l.at) }
func (l *line) right() int { return width.Next(l.text, l.at) }

// inWord reports whether a character belongs to a word, as marks on letters do.
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
	return width.Settle(l.text, i)
}

func (l *line) wordRight(in func(rune) bool) int {
	i := l.at
	for i < len(l.text) && !in(l.text[i]) {
		i++
	}
	for i < len(l.text) && in(l.text[i]) {
		i++
	}
	return width.Settle(l.text, i)
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
	from, to := width.Previous(l.text, middle), width.Next(l.text, middle)
	swapped := slices.Concat(l.text[middle:to], l.text[from:middle])
	l.cut(from, to)
	l.at = from
	l.text = slices.Insert(l.text, from, swapped...)
	l.at = width.Settle(l.text, to)
}

// up and down move to the row of text above or below, to about the same column. They report whether there is one.
func (l *line) up() bool {
	start := l.start()
	if start == 0 {
		return false
	}
	column := width.Of(l.text[start:l.at])
	l.at = start - 1
	l.at = atColumn(l.text, l.start(), column)
	return true
}

func (l *line) down() bool {
	column, end := width.Of(l.text[l.start():l.at]), l.end()
	if end == len(l.text) {
		return false
	}
	l.at = atColumn(l.text, end+1, column)
	return true
}

// atColumn returns the place in the row of text at start that a column belongs to.
func atColumn(text []rune, start, column int) int {
	i := start
	for i < len(text) && text[i] != '\n' {
		end := width.Next(text, i)
		if column -= width.OfCluster(text[i:end]); column < 0 {
			break
		}
		i = end
	}
	return i
}

// clean returns text as it may stand in a message: valid UTF-8 with newlines of one kind, and nothing that steers a terminal.
func clean(text string) []rune {
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	return slices.DeleteFunc([]rune(text), term.Steers)
}
