package edit

import (
	"strings"

	"minitron/internal/width"
)

// style is how a cell looks.
type style byte

const (
	plain style = iota
	bold        // the prompt
	dim         // hints
)

// cell is one cluster on the screen.
type cell struct {
	text   string // what is written: never a control character
	width  int
	style  style
	agreed bool // see width.Agreed
}

// frame is a message as rows of a window, and where the cursor is in them.
type frame struct {
	columns     int // of the window
	rows        [][]cell
	row, column int // of the cursor
}

const (
	minColumns = 4    // in a narrower window nothing can be shown rightly
	indent     = "  " // before the second and later lines of a message: as wide as the prompt
)

// layout lays the message out for a window of that many columns.
func (e *Editor) layout(columns int) frame {
	b := builder{frame: frame{columns: max(columns, minColumns)}}
	b.newRow()
	b.add([]rune(e.promptNow()), bold)
	text := e.text
	for i := 0; i < len(text); {
		if text[i] == '\n' {
			b.wrap(1) // the cursor may stand on it
		}
		if i == e.at {
			b.mark()
		}
		end := width.Next(text, i)
		if text[i] == '\n' {
			b.newRow()
			b.add([]rune(indent), plain)
		} else {
			b.put(text[i:end], plain)
		}
		i = end
	}
	b.wrap(1)
	if e.at == len(text) {
		b.mark()
	}
	if e.hint != "" && !e.finished {
		b.newRow()
		b.add([]rune(e.hint), dim)
	}
	b.column = min(b.column, b.columns-1)
	return b.frame
}

func (e *Editor) promptNow() string {
	s := e.search
	if s == nil || e.finished {
		return e.Prompt
	}
	says := e.Words.Searching
	if s.failed {
		says = e.Words.NotFound
	}
	return "(" + says + ": " + string(s.text) + ") "
}

// builder fills rows from the left.
type builder struct {
	frame
	used int // columns of the last row
}

func (b *builder) newRow() {
	b.rows = append(b.rows, nil)
	b.used = 0
}

// wrap begins a row if a cluster of that width does not fit into the last one.
func (b *builder) wrap(width int) {
	if b.used+width > b.columns {
		b.newRow()
	}
}

// mark puts the cursor where the next cluster would be.
func (b *builder) mark() { b.row, b.column = len(b.rows)-1, b.used }

func (b *builder) add(text []rune, s style) {
	for i := 0; i < len(text); {
		end := width.Next(text, i)
		b.put(text[i:end], s)
		i = end
	}
}

func (b *builder) put(cluster []rune, s style) {
	w := width.OfCluster(cluster)
	if b.used+w > b.columns {
		marked := b.row == len(b.rows)-1 && b.column == b.used
		b.newRow()
		if marked { // the cursor is on this cluster
			b.mark()
		}
	}
	c := cell{string(cluster), w, s, width.Agreed(cluster)}
	if cluster[0] == '\t' || cluster[0] == '\n' {
		c.text = strings.Repeat(" ", w)
	}
	last := len(b.rows) - 1
	b.rows[last] = append(b.rows[last], c)
	b.used += w
}
