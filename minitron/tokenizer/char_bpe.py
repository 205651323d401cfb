"""`char-bpe`: byte-pair encoding without bytes. Every token is a readable text; a character without a token becomes the unknown
token, and is lost."""

from minitron.tokenizer.bpe import BPE


class CharacterBPE(BPE):
    byte_tokens = False
