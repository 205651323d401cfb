"""Prompts of the training data with their recorded answers: `reject` looks for failures on them, `feedback` replays them.

Knows nothing about models.
"""

import json
import random
from typing import Any

from minitron.core.errors import MinitronError
from minitron.data import store
from minitron.recipe.schema import Config
from minitron.tokenizer import chat_template
from minitron.tokenizer.base import Tokenizer
from minitron.tokenizer.chat_template import Message

Prompt = tuple[list[Message], str]  # a dialogue up to a user's turn, and the recorded answer


def choose_prompts(config: Config, tokenizer: Tokenizer, *, count: int, seed: int) -> list[Prompt]:
    """`count` training dialogues, each cut before one of its answers: (messages so far, that answer).

    The recorded answer becomes the chosen one, so the dialogue has to be as good as held-out ones (`data.valid_keep`).
    Repeated prompts and those that do not fit the context are left out. Raises MinitronError if none is left.
    Reservoir sampling (Vitter's algorithm R): one pass, memory for `count` dialogues only.
    """
    chance = random.Random(seed)
    chosen: list[dict[str, Any]] = []
    path = config.layout.dialogues("train")
    for number, dialogue in enumerate(store.read(path, well_judged=config.data)):
        if number < count:
            chosen.append(dialogue)
        elif (slot := chance.randrange(number + 1)) < count:
            chosen[slot] = dialogue
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
