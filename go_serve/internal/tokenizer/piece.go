package tokenizer

// Piece returns how the vocabulary spells an id: ▁ stands for a space, <0x0A> for a byte.
func (t *Tokenizer) Piece(id int) string { return t.vocab.Pieces[id] }
