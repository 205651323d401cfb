"""Prompts of the training data with their recorded answers: `reject` looks for failures on them, `feedback` replays them.

Knows nothing about models.
"""

import json
import random

from minitron.core.errors import MinitronError
from minitron.data import store
from minitron.data.messages import Prompt
from minitron.recipe.schema import Config
from minitron.tokenizer import chat_template
from minitron.tokenizer.base import Tokenizer


def choose_prompts(config: Config, tokenizer: Tokenizer, *, count: int, seed: int) -> list[Prompt]:
    """`count` training dialogues, each cut before one of its answers: (messages so far, that answer).

    The recorded answer becomes the chosen one, so the dialogue has to be as good as held-out ones (`data.valid_keep`).
    Repeated prompts and those that do not fit the context are left out. Raises MinitronError if none is left.
    Reservoir sampling (Vitter's algorithm R) of rows: memory for `count` dialogues only.
    """
    chance = random.Random(seed)
    rows: list[int] = []
    path = config.layout.dialogues("train")
    for number, row in enumerate(store.well_judged(path, config.data)):
        if number < count:
            rows.append(row)
        elif (slot := chance.randrange(number + 1)) < count:
            rows[slot] = row
    dialogues = dict(zip(sorted(rows), store.read(path, only=rows), strict=True))
    chosen = [dialogues[row] for row in rows]
    if not chosen:
        raise MinitronError("no training dialogue passes data.valid_keep", hint="make those rules less strict")
    asked, known = [], set()
    for dialogue in chosen:
        messages = dialogue["messages"]
        at = chance.choice([i for i, m in enumerate(messages) if m["role"] == "assistant"])
        context = config.model.context
        try:
            prompt, _ = chat_template.fit(
                messages[:at], tokenizer, context=context, max_tokens=context, least=context // 4
            )
        except MinitronError:
            continue  # a single message longer than that is no use as a prompt
        text = json.dumps(prompt)
        if text not in known:  # many people say just "hi"
            known.add(text)
            asked.append((prompt, messages[at]["content"]))
    if not asked:
        raise MinitronError("no training prompt fits into the context", hint=config.longer)
    return asked
