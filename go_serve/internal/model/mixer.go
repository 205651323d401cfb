package model

import "minitron/internal/kernel"

// mixer is the part of a layer that looks at other tokens: attention, or some recurrence.
type mixer interface {
	in() kernel.Linear  // the product that makes its rows of the normed x
	out() kernel.Linear // the product that makes what is added to x of what it mixed
	width() int         // of a row that it mixed, without padding

	// newMemory makes what one layer keeps of one sequence, of so many positions.
	newMemory(positions int, w *workspace) memory
	memoryBytes(positions int) int64
}

// memory is what one layer keeps of the tokens of one sequence. It grows block by block: read, mix, commit. A block whose work
// was broken off, between any two layers, is never committed, and the next read begins at the same position: attention writes
// that position anew, while a recurrence must have kept its state of the last commit.
type memory interface {
	// read takes in the tokens at positions start, start+1, ...; row t of rows, in().Width() wide, is the t-th's.
	read(rows []float32, start, tokens int)
	// mix writes to row t of out, Padded(width()) wide, what the token at position start+t makes of those before it and of
	// itself: of all tokens of the block that was read, or of the last one alone. Rows are as read left them.
	mix(out, rows []float32, start, tokens int)
	// commit keeps the block.
	commit()
}

// fleeting is a memory that cannot go back to an earlier position by itself, because what it kept of that is gone: that of a
// recurrence, or of a window. A State takes copies of it to go back to.
type fleeting interface {
	memory
	// copied returns what is kept now, of all tokens up to the last commit, as a value that does not change.
	copied() any
	// restore makes it what copied returned, which stays as it is; nil is what an empty sequence has.
	restore(kept any)
}

// workspace is what the layers of a state share while they compute.
type workspace struct {
	pool    *kernel.Pool
	scratch []*kernel.Scratch // one per worker
	rope    *rotations
}
