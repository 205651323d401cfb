package repl

import (
	"io"

	"minitron/internal/width"
)

// wrapper breaks lines between words, where a terminal would break them anywhere. It holds the last word back until it is known
// to be complete. A character of double width, such as a Chinese one or an emoji of several code points, is a word by itself.
type wrapper struct {
	out     io.Writer
	columns func() int // of the window; nil: lines are not broken

	at     int  // columns used in the current line
	begun  bool // whether a word, possibly of no width, stands in that line
	spaces string
	word   []rune
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
			if len(w.word) > 0 {
				err = w.flush()
			}
			w.spaces += string(char)
		default:
			w.word = append(w.word, char)
			last := width.Previous(w.word, len(w.word))
			switch {
			case len(w.word) >= 4*w.columns(): // too long for a word: the terminal breaks it
				err = w.flush()
			case last > 0 && (w.isWide(last, len(w.word)) || w.isWide(width.Previous(w.word, last), last)):
				err = w.write(last)
			}
		}
		if err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// isWide reports whether a character of double width stands between two places in the word.
func (w *wrapper) isWide(from, to int) bool {
	return width.OfCluster(w.word[from:to]) > 1
}

// flush writes what was held back.
func (w *wrapper) flush() error {
	if w.columns == nil {
		return nil
	}
	return w.write(len(w.word))
}

// write writes the first runes of the word. The last column stays free, as terminals do not agree about what happens after it is
// written to.
func (w *wrapper) write(runes int) error {
	word := string(w.word[:runes])
	gap, size := behind(w.at, w.spaces)-w.at, width.Of(w.word[:runes])
	w.word = w.word[runes:]
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

// behind returns the column behind spaces and tabs that begin at a column.
func behind(at int, spaces string) int {
	for _, char := range spaces {
		at++
		if char == '\t' { // to the next eighth column
			at = (at + 7) / 8 * 8
		}
	}
	return at
}
