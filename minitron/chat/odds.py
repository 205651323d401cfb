"""How probable the tokens of an answer were, and what could have stood in their place: /probs and /branch of the terminal chat.

What is said and how tokens are numbered is the Go program's (go_serve/internal/repl/inspect.go). Knows nothing about terminals.
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

OTHERS = 3  # other tokens that are told beside one


@dataclass(frozen=True)
class Choice:
    """A token that could be written, and how probable the model found it, before temperature and filters."""

    id: int
    probability: float


@dataclass(frozen=True)
class Odds:
    """A token of an answer, and the likeliest others that an answer may hold, the likeliest first."""

    chosen: Choice
    others: list[Choice]

    @classmethod
    def of(cls, logits: Tensor, token: int, *, never: list[int]) -> "Odds":
        """From the logits (V,) that stood before it. `never` are ids that no answer holds."""
        probabilities = logits.double().softmax(-1)
        likely = probabilities.topk(min(OTHERS + 1 + len(never), len(probabilities))).indices.tolist()
        others = [i for i in likely if i != token and i not in never][:OTHERS]
        chosen, *rest = (Choice(i, float(probabilities[i])) for i in (token, *others))
        return cls(chosen, rest)

    def line(self, number: int, tokenizer: Tokenizer) -> str:
        """As it is shown; the numbers are those that /branch takes."""
        others = ", ".join(f"{n}: {spelt(o.id, tokenizer)} {o.probability:.1%}" for n, o in enumerate(self.others, 1))
        return f"{number:3d}  {self.chosen.probability:6.1%}  {spelt(self.chosen.id, tokenizer)}   ({others})"


def spelt(token: int, tokenizer: Tokenizer) -> str:
    """A token as it can be shown: spaces are ▁, bytes <0xE2>, a marker its name."""
    raw = tokenizer.piece_bytes(token)
    if not raw:
        names = {token: f"<|{role}|>" for role, token in tokenizer.markers.items()} | {tokenizer.end: "<|end|>"}
        return names.get(token, "<unk>")
    if tokenizer.is_byte(token):
        return f"<0x{raw[0]:02X}>"
    return visible(raw.decode(errors="replace").replace(" ", SPACE))


@torch.inference_mode()
def look(model: LanguageModel, ids: list[int], prompt: int, *, never: list[int]) -> Iterator[Odds]:
    """The odds of each id behind the first `prompt` of them, by reading them once more; of a text longer than the context as it was
    written, with the newer part in view."""
    seen_from = -1
    for at in range(prompt, len(ids)):
        if (begin := window(at, model.context_limit)) != seen_from:
            seen_from, unread = begin, ids[begin:at]
            state = model.new_state(1, min(model.context_limit, len(ids)))
        hidden = model.hidden(torch.tensor([unread], device=model.device), state=state)[:, -1]
        yield Odds.of(model.head(hidden).float()[0], ids[at], never=never)
        unread = [ids[at]]
