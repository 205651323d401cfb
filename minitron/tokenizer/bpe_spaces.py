"""`bpe-spaces`: byte-pair encoding in which the space is a token of its own, and no other token holds one.

A word is the same token at a text's start, behind a space and behind a quotation mark; every space costs one.
"""

from minitron.tokenizer.bpe import BPE
from minitron.tokenizer.sentencepiece import SPACE


class SpacedBPE(BPE):
    symbols = (SPACE,)
