"""`char-bpe`: byte-pair encoding without bytes. Every token is a readable text; a character that got none is unknown, and lost."""

from minitron.tokenizer.bpe import BPE


class CharacterBPE(BPE):
    byte_tokens = False
