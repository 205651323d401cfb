"""Encoding a thousand dialogues at once gives what each gives alone; those that are too long are cut."""

from pathlib import Path

import pytest
from dialogues import dialogue, run, save

from minitron.data import store
from minitron.data.encoding import encode
from minitron.recipe.schema import TokenizerConfig
from minitron.tokenizer import chat_template, kinds

pytestmark = pytest.mark.usefixtures("in_tmp_path")

TRAIN = Path("runs/t/data/train.parquet")


def made(kind: str):
    path = Path("tokenizer.model")
    texts = [f"question number {i}, привет" for i in range(50)]
    path.write_bytes(kinds.train(texts, config=TokenizerConfig(kind=kind, vocab_size=300), seed=1))
    return kinds.load(path)


@pytest.mark.parametrize("kind", ["bytes", "bpe"])
@pytest.mark.parametrize("context", [16, 40, 4000])
def test_batches_change_nothing(kind, context):
    turns = [dialogue(*(f"{i} question"[: 1 + (i * k) % 9] for k in range(1, 3 + i % 5))) for i in range(1100)]
    turns[3] = [{"role": "system", "content": "be brief"}, *turns[3]]
    save("x.jsonl", [{"messages": one} for one in turns])
    run(files=["x.jsonl"], valid_fraction=0.0)
    tokenizer, want, shortened, left_out = made(kind), [], 0, 0
    for one in store.read(TRAIN):
        messages = one["messages"]
        fitting = [n for n in range(len(messages), 1, -2) if fits(messages[:n], tokenizer, context)]
        if not fitting:
            left_out += 1
            continue
        kept = messages[: fitting[0]]
        shortened += len(kept) < len(messages)
        said = sum(len(m["content"].encode()) for m in kept if m["role"] == "assistant")
        want.append((*chat_template.encode_dialogue(kept, tokenizer), said))
    cut = {"shortened": 0, "left out": 0}
    found = [(ids.tolist(), list(map(bool, mask)), size) for ids, mask, size in encode(TRAIN, tokenizer, context, cut)]
    assert found == want
    assert cut == {"shortened": shortened, "left out": left_out}
    assert (bool(shortened), bool(left_out)) == (context < 100, context < 20)


def fits(messages, tokenizer, context) -> bool:
    ids, mask = chat_template.encode_dialogue(messages, tokenizer)
    return len(ids) <= context + 1 and any(mask)
