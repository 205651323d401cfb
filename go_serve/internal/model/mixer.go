package model

import "minitron/internal/kernel"

// mixer is the part of a layer that looks at other tokens: attention, or a recurrence.
type mixer interface {
	in() kernel.Linear  // the product that makes the mixer's rows from the normed x
	out() kernel.Linear // the product that makes what is added to x from the mixed rows
	width() int         // the width of a mixed row, without padding

	// newMemory allocates what one layer keeps of one sequence of at most that many positions.
	newMemory(positions int, w *workspace) memory
	// memoryBytes returns the bytes that such a memory keeps, as a copy of it does, and those that it has to spare for a block
	// that is not committed yet.
	memoryBytes(positions int) (kept, spare int64)
}

// memory is what one layer keeps of the tokens of one sequence. It grows block by block: read, mix, commit. A block that was
// abandoned between two layers is never committed, and the next read begins at the same position. Attention then overwrites
// that position, while a recurrence must still have its state of the last commit.
type memory interface {
	// read takes in the tokens at positions start, start+1, ... Row t of rows, in().Width() wide, is that of the t-th token.
	read(rows []float32, start, tokens int)
	// mix writes to row t of out, Padded(width()) wide, the result for the token at position start+t, computed from that token
	// and those before it. It is called for all tokens of the block that was read, or for the last one alone. rows are as read
	// left them.
	mix(out, rows []float32, start, tokens int)
	// commit keeps the block.
	commit()
}

// fleeting is a memory that cannot go back to an earlier position by itself, because what it kept of that is gone: the memory
// of a recurrence, or of a window. A State takes copies of it to go back to.
type fleeting interface {
	memory
	// copied returns a copy of what is kept of all tokens up to the last commit.
	copied() any
	// restore brings back what copied returned, and does not change it; nil stands for an empty sequence.
	restore(kept any)
}

// workspace is what the layers of a state share while they compute.
type workspace struct {
	pool    *kernel.Pool
	scratch []*kernel.Scratch // one per worker
	rope    *rotations
}
