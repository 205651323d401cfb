"""`minitron tokenize`, `logits` and `complete`: NDJSON in, NDJSON out, line by line as minitron-chat does it.

The outputs of the two programs on the same lines can be compared:

    minitron tokenize RECIPE < lines
    minitron-chat tokenize < lines
"""

import base64
import json
import sys
from collections.abc import Callable, Iterator

from minitron.core.errors import MinitronError
from minitron.recipe.alignment import Sampling
from minitron.recipe.schema import Config
from minitron.sample.continue_text import continue_text, encode_text
from minitron.tokenizer import chat_template, kinds
from minitron.tokenizer.base import Tokenizer
from minitron.train import checkpoint


def _lines() -> Iterator[tuple[int, dict]]:
    """(line number, JSON object) for each line of stdin that is not blank. Raises MinitronError for a line that is no object."""
    for number, line in enumerate(sys.stdin.buffer, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise MinitronError(f"line {number} of the input is not a JSON object", hint='such as {"text": "hello"}')
        yield number, value


def _answer(work: Callable[[dict], dict]) -> None:
    """Writes `work`'s answer to each line to stdout, in UTF-8 whatever the locale. Raises MinitronError for a line that is faulty."""
    sys.stdout.reconfigure(encoding="utf-8")
    for number, value in _lines():
        try:
            result = work(value)
        except (KeyError, TypeError, ValueError) as error:
            raise MinitronError(f"line {number} of the input: {error}", hint="see docs/formats.md") from error
        sys.stdout.write(json.dumps(result, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def _messages(value: dict) -> list[dict[str, str]]:
    """The line's dialogue. Raises ValueError if there is none, or it is malformed."""
    messages = value.get("messages")
    if not isinstance(messages, list) or not messages:
        raise ValueError('"messages" must be a list of {"role": ..., "content": ...}')
    for message in messages:
        if not isinstance(message, dict) or message.get("role") not in ("system", "user", "assistant"):
            raise ValueError(f"a message must have a role, system, user or assistant: {json.dumps(message)[:80]}")
        if not isinstance(message.get("content"), str):
            raise ValueError(f"a message's content must be a text: {json.dumps(message)[:80]}")
    return messages


def _tokenizer(config: Config) -> Tokenizer:
    return kinds.load(config.layout.tokenizer)


def _model(config: Config):
    return checkpoint.load_model(checkpoint.finished(config.layout.stage(config.shipped), config.shipped))[0]


def tokenize(config: Config) -> None:
    """{"text": "..."} or {"b64": "..."} (any bytes) -> {"ids": [...]}."""
    tokenizer = _tokenizer(config)

    def work(value: dict) -> dict:
        if isinstance(value.get("text"), str):
            return {"ids": tokenizer.encode(value["text"])}
        if isinstance(value.get("b64"), str):
            return {"ids": tokenizer.encode(base64.b64decode(value["b64"], validate=True))}
        raise ValueError('neither "text" nor "b64" is there as a string')

    _answer(work)


def logits(config: Config) -> None:
    """{"ids": [...]} -> {"logits": [...]}, those of the last position."""
    import torch

    model = _model(config)

    @torch.inference_mode()
    def work(value: dict) -> dict:
        ids = value.get("ids")
        if not isinstance(ids, list) or not ids or not all(type(i) is int and 0 <= i < model.vocab_size for i in ids):
            raise ValueError(f'"ids" must be a list of numbers from 0 to {model.vocab_size - 1}')
        if len(ids) > model.context_limit:
            raise ValueError(f"{len(ids)} ids are more than the context of {model.context_limit}")
        hidden = model.hidden(torch.tensor([ids]))[0, -1]
        return {"logits": [round(x, 6) for x in model.head(hidden).tolist()]}

    _answer(work)


def complete(config: Config) -> None:
    """{"messages": [...], "max_tokens": n} -> {"text", "ids", "stopped"} of the greedy answer, and "dropped_turns" if the dialogue
    outgrew the context. A base model continues {"text": "..."}, or the last message."""
    from minitron.sample.generate import Decoding, generate

    tokenizer, model = _tokenizer(config), _model(config)
    decoding = Decoding.of(tokenizer, seed=config.seed)

    def answer(value: dict, sampling: Sampling) -> tuple[list[int], str, int]:
        messages, dropped = chat_template.fit(
            _messages(value), tokenizer, context=model.context_limit, max_tokens=sampling.max_tokens
        )
        found = generate(
            model, [chat_template.encode_prompt(messages, tokenizer)], sampling=sampling, decoding=decoding
        )[0]
        return found.ids, found.stopped, dropped // 2

    def extend(value: dict, sampling: Sampling) -> tuple[list[int], str, int]:
        text = _messages(value)[-1]["content"] if value.get("messages") else value.get("text")
        if not isinstance(text, str):
            raise ValueError('neither "text" nor a message is there as a string')
        ids = list(continue_text(model, encode_text(text, tokenizer), sampling=sampling, decoding=decoding))
        return ids, "max_tokens" if len(ids) == sampling.max_tokens else "end", 0

    def work(value: dict) -> dict:
        max_tokens = value.get("max_tokens", config.export.max_tokens)
        if type(max_tokens) is not int or max_tokens < 1:
            raise ValueError(f'"max_tokens" must be a whole number above 0, not {json.dumps(max_tokens)}')
        sampling = Sampling(temperature=0.0, max_tokens=max_tokens)
        ids, stopped, dropped = (extend if config.base else answer)(value, sampling)
        told = {"text": tokenizer.decode(ids), "ids": ids, "stopped": stopped}
        return told | ({"dropped_turns": dropped} if dropped else {})

    _answer(work)
