"""The NDJSON commands: an error in a line is reported for that line, and answers are UTF-8 whatever the locale."""

import io
import json
import sys

import pytest
import torch
from conftest import tiny_shape

from minitron.chat import ndjson
from minitron.core.errors import MinitronError
from minitron.model.language_model import LanguageModel
from minitron.recipe.schema import Config


@pytest.fixture
def ask(tiny_tokenizer, tmp_path, monkeypatch):
    """A function that gives lines to `minitron complete` and returns what it wrote, as bytes."""
    torch.manual_seed(0)
    model = LanguageModel(tiny_shape(), tiny_tokenizer.vocab_size).eval()
    monkeypatch.setattr(ndjson, "_tokenizer", lambda config: tiny_tokenizer)
    monkeypatch.setattr(ndjson, "_model", lambda config: model)

    def complete(line: str) -> bytes:
        out = io.BytesIO()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(line.encode())))
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding="latin-1"))
        ndjson.complete(Config(name="t", recipe=tmp_path / "t.toml"))
        return out.getvalue()

    return complete


USER = {"role": "user", "content": "привет"}


def test_answers_are_utf8_whatever_the_locale(ask):
    answer = json.loads(ask(json.dumps({"messages": [USER], "max_tokens": 8})).decode("utf-8"))
    assert len(answer["ids"]) == 8
    assert not answer["text"].isascii()  # an untrained model draws from all of its pieces, Russian ones among them


@pytest.mark.parametrize(
    ("line", "saying"),
    [
        ({"messages": [{"role": "tool", "content": "hi"}]}, "must have a role, system, user or assistant"),
        ({"messages": [{"role": "end", "content": "hi"}]}, "must have a role"),
        ({"messages": [{"role": "path", "content": "hi"}]}, "must have a role"),
        ({"messages": [{"role": "user", "content": 5}]}, "content must be a text"),
        ({"messages": [{"role": "user"}]}, "content must be a text"),
        ({"messages": "hi"}, '"messages" must be a list'),
        ({"messages": []}, '"messages" must be a list'),
        ({"messages": [USER], "max_tokens": -1}, '"max_tokens" must be a whole number above 0, not -1'),
        ({"messages": [USER], "max_tokens": 1.5}, '"max_tokens" must be a whole number'),
        ({"messages": [USER], "max_tokens": True}, '"max_tokens" must be a whole number'),
    ],
)
def test_what_is_wrong_with_a_line_is_said_of_it(ask, line, saying):
    with pytest.raises(MinitronError) as error:
        ask("\n" + json.dumps(line))
    assert str(error.value).startswith("line 2 of the input: ")
    assert saying in str(error.value)
