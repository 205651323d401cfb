"""How probable the tokens of an answer were, and which others were likely in their place: /probs and /branch of the terminal chat.

The wording and the numbering of tokens are those of the Go program (go_serve/internal/repl/inspect.go). Knows nothing about
terminals.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from minitron.core.console import visible
from minitron.model.language_model import LanguageModel
from minitron.sample.continue_text import window
from minitron.tokenizer.base import Tokenizer
from minitron.tokenizer.sentencepiece import SPACE

OTHERS = 3  # other tokens that are listed for each token


@dataclass(frozen=True)
class Choice:
    """A token that could be written, and how probable the model found it, before temperature and filters."""

    id: int
    probability: float


@dataclass(frozen=True)
class Odds:
    """A token of an answer, and the most probable other tokens that an answer may hold, in falling order."""

    chosen: Choice
    others: list[Choice]

    @classmethod
    def of(cls, logits: Tensor, token: int, *, never: list[int]) -> "Odds":
        """From the logits (V,) that `token` was drawn from. `never`: ids that no answer may hold."""
        probabilities = logits.cpu().double().softmax(-1)  # MPS has no fp64
        likely = probabilities.topk(min(OTHERS + 1 + len(never), len(probabilities))).indices.tolist()
        others = [i for i in likely if i != token and i not in never][:OTHERS]
        chosen, *rest = (Choice(i, float(probabilities[i])) for i in (token, *others))
        return cls(chosen, rest)

    def line(self, number: int, tokenizer: Tokenizer) -> str:
        """The line that /probs shows; its numbers are those that /branch takes."""
        others = ", ".join(f"{n}: {spelt(o.id, tokenizer)} {o.probability:.1%}" for n, o in enumerate(self.others, 1))
        return f"{number:3d}  {self.chosen.probability:6.1%}  {spelt(self.chosen.id, tokenizer)}   ({others})"


def spelt(token: int, tokenizer: Tokenizer) -> str:
    """A token in printable form: a space is ▁, a byte <0xE2>, a marker its name."""
    raw = tokenizer.piece_bytes(token)
    if not raw:
        return tokenizer.name_without_text(token)
    if tokenizer.is_byte(token):
        return f"<0x{raw[0]:02X}>"
    return visible(raw.decode(errors="replace").replace(" ", SPACE))


@torch.inference_mode()
def look(model: LanguageModel, ids: list[int], prompt: int, *, never: list[int]) -> Iterator[Odds]:
    """The odds of each id after the first `prompt` ids, by running the model over them again. If the text outgrew the context, each
    id is seen with the same window of earlier ids as when it was written (`window`)."""
    seen_from = -1
    for at in range(prompt, len(ids)):
        if (begin := window(at, model.context_limit)) != seen_from:
            seen_from, unread = begin, ids[begin:at]
            state = model.new_state(1, min(model.context_limit, len(ids)))
        hidden = model.hidden(torch.tensor([unread], device=model.device), state=state)[:, -1]
        yield Odds.of(model.head(hidden).float()[0], ids[at], never=never)
        unread = [ids[at]]
