package model

import "slices"

// How many positions a sequence can go back to: mostMarks, or as many as mostMarksBytes hold, but at least one.
const (
	mostMarks      = 8
	mostMarksBytes = 64 << 20
)

// marksFor returns that number for a model whose layers keep that many bytes of a sequence.
func marksFor(memoryBytes int64) int {
	return int(max(1, min(mostMarks, mostMarksBytes/max(1, memoryBytes))))
}

// marks are positions that a sequence with fleeting memories can go back to. Two kinds of positions are worth their copies. One
// is before the last token of a prompt, so that another answer to it, or the next question in place of it, does not need the
// prompt to be read from the beginning. The other is where a prompt departed from what had been read, as another prompt may
// depart there again.
type marks struct {
	fleeting []fleeting // empty if all memories can go back to any position
	most     int
	all      []mark // by position
	parted   int    // a position to mark when it is reached; 0: none
}

// mark holds what the memories held at a position.
type mark struct {
	position int
	kept     []any
}

func fleetingOf(memories []memory) (found []fleeting) {
	for _, memory := range memories {
		if f, ok := memory.(fleeting); ok {
			found = append(found, f)
		}
	}
	return found
}

// upTo returns how many of the next tokens after a position may be read at once, so that reading stops at every position to
// mark. With last, these tokens are the end of a prompt, whose last token is read by itself.
func (m *marks) upTo(position, tokens int, last bool) int {
	if len(m.fleeting) == 0 {
		return tokens
	}
	if last && tokens > 1 {
		tokens--
	}
	if m.parted > position {
		tokens = min(tokens, m.parted-position)
	}
	return tokens
}

// set marks a position, if it is one to mark: the one before a prompt's last token (beforeLast), or the one in parted.
func (m *marks) set(position int, beforeLast bool) {
	if len(m.fleeting) == 0 || !beforeLast && position != m.parted {
		return
	}
	if slices.ContainsFunc(m.all, func(other mark) bool { return other.position == position }) {
		return
	}
	if len(m.all) == m.most { // the oldest one, where dialogues begin, stays, unless it is the only one
		oldest := min(1, m.most-1)
		m.all = slices.Delete(m.all, oldest, oldest+1)
	}
	set := mark{position: position}
	for _, memory := range m.fleeting {
		set.kept = append(set.kept, memory.copied())
	}
	m.all = append(m.all, set)
}

// back makes the memories hold the first n tokens, or only as many as the last mark at or before n has, and returns how many.
func (m *marks) back(n int) int {
	if len(m.fleeting) == 0 {
		return n
	}
	m.all = slices.DeleteFunc(m.all, func(later mark) bool { return later.position > n })
	if len(m.all) == 0 {
		for _, memory := range m.fleeting {
			memory.restore(nil)
		}
		return 0
	}
	last := m.all[len(m.all)-1]
	for i, memory := range m.fleeting {
		memory.restore(last.kept[i])
	}
	return last.position
}
