"""`bpe-spaces`: byte-pair encoding in which the space is a token of its own, and no other token holds one.

A word has the same tokens at the start of a text, after a space and after a quotation mark; every space costs one token.
"""

from minitron.tokenizer.bpe import BPE
from minitron.tokenizer.sentencepiece import SPACE


class SpacedBPE(BPE):
    symbols = (SPACE,)
