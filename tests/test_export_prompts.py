"""The prompts that export's self-test asks: of held-out dialogues, with the system message where there is one."""

import json

from conftest import run_to

from minitron.recipe.load import load_recipe
from minitron.stages import export
from minitron.tokenizer import chat_template

RECIPE = """
[data]
files = ["dialogues.jsonl"]
valid_fraction = 0.5
"""


def test_a_prompt_ends_with_the_first_question(tmp_path, monkeypatch, tiny_tokenizer):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.toml").write_text(RECIPE)
    wanted = []
    with (tmp_path / "dialogues.jsonl").open("w") as file:
        for n in range(40):
            messages = [{"role": "system", "content": f"rule {n}"}] * (n % 2)
            messages += [{"role": "user", "content": f"question {n}"}]
            wanted.append(chat_template.encode_prompt(messages, tiny_tokenizer))
            for text in (f"answer {n}", f"more {n}", "done"):
                messages = [*messages, {"role": "user" if "more" in text else "assistant", "content": text}]
            file.write(json.dumps({"messages": messages}) + "\n")
    run_to("data")
    found = list(export.prompts(load_recipe("small.toml"), tiny_tokenizer))
    assert len(found) > 10
    assert all(ids in wanted for ids in found)
    texts = [tiny_tokenizer.decode(ids) for ids in found]
    assert {"rule" in text for text in texts} == {True, False}
    assert all("question" in text and "answer" not in text for text in texts)
