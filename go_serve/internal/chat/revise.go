package chat

// Last returns what the person said last; ok is false when there is no turn.
func (c *Chat) Last() (text string, ok bool) {
	if len(c.turns) == 0 {
		return "", false
	}
	return c.turns[len(c.turns)-1].text, true
}

// Undo forgets the last turn, if there is one.
func (c *Chat) Undo() { c.setTurns(c.turns[:max(0, len(c.turns)-1)]) }

// Seed returns the seed that answers are drawn with.
func (c *Chat) Seed() uint64 { return c.seed }

// SetSeed restarts the sampler with a seed.
func (c *Chat) SetSeed(seed uint64) {
	c.seed = seed
	c.sampler.Seed(seed)
}
