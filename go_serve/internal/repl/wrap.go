package repl

import (
	"io"
	"strings"

	"minitron/internal/width"
)

// wrapper breaks lines between words, where a terminal would break them anywhere. It holds the last word back until it is known
// to be complete. A character of double width, such as a Chinese one, is a word by itself.
type wrapper struct {
	out     io.Writer
	columns func() int // of the window; nil: lines are not broken

	at     int  // columns used in the current line
	begun  bool // whether a word, possibly of no width, stands in that line
	spaces string
	word   strings.Builder
}

func (w *wrapper) Write(p []byte) (int, error) {
	if w.columns == nil {
		return w.out.Write(p)
	}
	for _, char := range string(p) {
		var err error
		switch {
		case char == '\n':
			if err = w.flush(); err == nil {
				_, err = io.WriteString(w.out, "\n")
			}
			w.at, w.begun, w.spaces = 0, false, ""
		case char == ' ' || char == '\t':
			if w.word.Len() > 0 {
				err = w.flush()
			}
			w.spaces += string(char)
		case width.OfCluster([]rune{char}) > 1:
			err = w.flushIf(w.word.Len() > 0)
			w.word.WriteRune(char)
			if err == nil {
				err = w.flush()
			}
		default:
			w.word.WriteRune(char)
			err = w.flushIf(w.word.Len() >= 4*w.columns()) // too long for a word: the terminal breaks it
		}
		if err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

func (w *wrapper) flushIf(yes bool) error {
	if !yes {
		return nil
	}
	return w.flush()
}

// flush writes what was held back. The last column stays free, as terminals do not agree about what happens after it is written
// to.
func (w *wrapper) flush() error {
	if w.columns == nil {
		return nil
	}
	word := w.word.String()
	w.word.Reset()
	gap, size := width.Of([]rune(w.spaces)), width.Of([]rune(word))
	if w.begun && word != "" && w.at+gap+size >= max(w.columns(), 1) {
		w.at, gap, w.spaces = 0, 0, "\n"
	}
	_, err := io.WriteString(w.out, w.spaces+word)
	w.spaces = ""
	w.at += gap + size
	w.begun = w.begun || word != ""
	if columns := w.columns(); w.at >= columns && columns > 0 {
		w.at %= columns
	}
	return err
}
