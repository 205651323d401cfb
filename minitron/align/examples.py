"""Turns pairs into token ids, and says which tokens of each completion kto pushes up or down. Knows nothing about models and files."""

from collections.abc import Sequence

from minitron.align.method import Method
from minitron.align.pairs import Completion
from minitron.align.preference import Example
from minitron.core.console import say
from minitron.evaluate import failures
from minitron.tokenizer import chat_template
from minitron.tokenizer.base import Tokenizer


def encode_pairs(
    rows: Sequence[Completion], tokenizer: Tokenizer, *, context: int, method: Method
) -> tuple[list[Example], list[int]]:
    """The rows as examples, and for each example a number that stands for its prompt. What does not fit the context is cut off.

    A rejected completion is not always pushed down as a whole. A runaway never ended, so it gets no end marker. With `mask_loops`
    only the part of a loop after its first round is pushed down. With `cut_rejected` at most as many tokens are pushed down as
    the chosen completion of the same prompt has: a long failure is decided where it begins, and the rest only takes time.
    """
    known: dict[tuple[int, ...], int] = {}  # prompt -> its number
    longest: dict[int, int] = {}  # number of a prompt -> tokens of its chosen completion
    encoded = []
    for row in rows:
        prompt = chat_template.encode_prompt(row.prompt, tokenizer)
        text = tokenizer.content(row.completion)
        completion = tokenizer.encode(text)
        if row.label or "runaway" not in row.failure:
            completion.append(tokenizer.end)
        number = known.setdefault(tuple(prompt), len(known))
        if row.label:
            longest[number] = max(longest.get(number, 0), len(completion))
        encoded.append((row, prompt, number, text, completion))
    examples, prompts = [], []
    for row, prompt, number, text, completion in encoded:
        skip = 0
        if method.mask_loops and not row.label and (repeat := failures.first_repeat(text)):
            skip = min(tokenizer.tokens_within(completion, repeat), len(completion) - 1)
        if method.cut_rejected and not row.label and number in longest:
            completion = completion[: skip + longest[number]]
        ids = (prompt + completion)[: context + 1]
        if len(prompt) + skip < len(ids):
            examples.append(Example(ids, len(prompt), row.label, len(prompt) + skip))
            prompts.append(number)
    if len(examples) < len(rows):
        say(f"pairs: {len(rows) - len(examples)} completions left out: their prompts fill the context")
    return examples, prompts
