package edit

import (
	"bytes"
	"slices"
	"strconv"
)

// screen turns frames into what has to be sent to a terminal. It knows what the terminal shows, relative to the place where the
// first frame began: at the left edge, with nothing below it. Rows end with an explicit newline, never by the terminal's own
// wrapping, so that a full row means the same to all terminals.
type screen struct {
	colour bool
	frame      // the rows that are shown; those scrolled away are not in it
	top    int // how many rows are scrolled away above
	out    bytes.Buffer
}

// draw returns what makes the terminal show f in a window of that many rows; if f has more, those around the cursor.
func (s *screen) draw(f frame, rows int) []byte {
	rows = max(rows, 1)
	s.top = min(s.top, f.row, max(0, len(f.rows)-rows))
	s.top = max(s.top, f.row-rows+1)
	seen := frame{f.columns, f.rows[s.top:min(s.top+rows, len(f.rows))], f.row - s.top, f.column}

	if row, i := s.firstChange(seen); row < max(len(seen.rows), len(s.rows)) {
		for i > 0 && columnsOf(s.rows[row][:i]) >= f.columns {
			i-- // behind a full row there is no place to go to: clearing from there would take its last cell away
		}
		s.goTo(row, i)
		s.out.WriteString("\x1b[J") // clear from here to the end of the screen
		s.write(seen.rows, row, i)
	}
	s.rows, s.columns = seen.rows, seen.columns
	s.move(seen.row, seen.column)
	return s.take()
}

// firstChange returns the row and the index of the first cell of f that differs from what is shown.
func (s *screen) firstChange(f frame) (row, i int) {
	for row = range min(len(f.rows), len(s.rows)) {
		was, is := s.rows[row], f.rows[row]
		for i = range max(len(was), len(is)) {
			if i >= len(was) || i >= len(is) || was[i] != is[i] {
				return row, i
			}
		}
	}
	return min(len(f.rows), len(s.rows)), 0
}

// goTo moves to a cell of a row that is shown, or of the row below them, for which a terminal may have to scroll.
func (s *screen) goTo(row, i int) {
	if row > 0 && row >= len(s.rows) {
		s.move(row-1, 0)
		s.out.WriteString("\r\n")
		s.row = row
		return
	}
	column := 0
	if i > 0 {
		column = columnsOf(s.rows[row][:i])
	}
	s.move(row, column)
}

func columnsOf(cells []cell) (sum int) {
	for _, c := range cells {
		sum += c.width
	}
	return sum
}

// move goes to a place among the rows that are shown.
func (s *screen) move(row, column int) {
	s.step(s.row-row, 'A')
	s.step(row-s.row, 'B')
	if column < s.column {
		s.out.WriteByte('\r')
		s.column = 0
	}
	s.step(column-s.column, 'C')
	s.row, s.column = row, column
}

// step moves the cursor n places in the direction of a letter, if n is above 0.
func (s *screen) step(n int, letter byte) {
	if n > 0 {
		s.out.WriteString("\x1b[" + strconv.Itoa(n))
		s.out.WriteByte(letter)
	}
}

// write writes rows, from the cell on where the cursor is.
func (s *screen) write(rows [][]cell, row, i int) {
	now, wraps := plain, true
	for ; row < len(rows); row, i = row+1, 0 {
		if row > s.row {
			s.out.WriteString("\r\n")
			s.row, s.column = row, 0
		}
		for _, c := range rows[row][i:] {
			if !c.agreed && wraps {
				s.out.WriteString("\x1b[?7l") // a terminal that takes the cell for wider must not break the row by itself
				wraps = false
			}
			if c.style != now {
				s.style(c.style)
				now = c.style
			}
			s.out.WriteString(c.text)
			s.column += c.width
			if !c.agreed {
				s.out.WriteString("\x1b[" + strconv.Itoa(s.column+1) + "G")
			}
		}
	}
	if now != plain {
		s.style(plain)
	}
	if !wraps {
		s.out.WriteString("\x1b[?7h")
	}
}

func (s *screen) style(to style) {
	if s.colour {
		s.out.WriteString([]string{"\x1b[0m", "\x1b[0;1;32m", "\x1b[0;2m"}[to])
	}
}

// finish leaves all of f on the screen, even if the window is too small for it, and the cursor below it.
func (s *screen) finish(f frame) []byte {
	if s.top > 0 || len(f.rows) > len(s.rows) {
		s.top = 0
		s.move(0, 0)
		s.rows = nil
	}
	out := s.draw(f, len(f.rows))
	return append(out, "\r\n"...)
}

// resized prepares for a window of another width. Most terminals have rewrapped what was shown by then, so the next frame
// begins where the first of the new rows is now.
func (s *screen) resized(columns int) []byte {
	columns = max(columns, 1)
	above := s.column / columns
	for _, row := range s.rows[:min(s.row, len(s.rows))] {
		above += max(1, (columnsOf(row)+columns-1)/columns)
	}
	s.step(above, 'A')
	s.out.WriteString("\r\x1b[J")
	s.forget()
	return s.take()
}

// clear wipes the window.
func (s *screen) clear() []byte {
	s.out.WriteString("\x1b[H\x1b[2J")
	s.forget()
	return s.take()
}

// below leaves what is shown and goes below it.
func (s *screen) below() []byte {
	s.move(max(0, len(s.rows)-1), 0)
	s.out.WriteString("\r\n")
	s.forget()
	return s.take()
}

// restart starts at the beginning of a row, wherever another program has left the cursor.
func (s *screen) restart() []byte {
	s.out.WriteString("\r\x1b[J")
	s.forget()
	return s.take()
}

// forget starts anew at the cursor, which must be at the left edge.
func (s *screen) forget() { s.frame, s.top = frame{}, 0 }

func (s *screen) take() []byte {
	out := slices.Clone(s.out.Bytes())
	s.out.Reset()
	return out
}
