"""One model in four programs: torch, transformers (the HF export), llama.cpp (GGUF F16) and the chat program.

For test_four_programs and benchmarks/four_programs.py. Needs transformers and xllamacpp.
"""

import copy
import dataclasses
import json
import random
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from llamacpp import LlamaCpp

from minitron.interop import bundle, gguf, hf
from minitron.interop.about import About
from minitron.model.language_model import LanguageModel
from minitron.recipe.schema import ExportConfig
from minitron.sample.continue_text import encode_text
from minitron.sample.generate import Decoding, generate
from minitron.tokenizer.base import Tokenizer
from minitron.tokenizer.chat_template import encode_prompt

WORDS = {  # separated by spaces
    "Russian": "привет как тебя зовут ты кто сколько будет семь и пять расскажи шутку почему небо синее а что потом ёж",
    "English": "hello who are you what is my name seven plus five tell me a joke why the sky is blue and then",
    "emoji": "🙂 👍🏽 👩‍👩‍👧 ❤️ 🇫🇷 😀😀 ok 🙈 1️⃣ … — 👀 ?",
}
GREEDY = ExportConfig(temperature=0.0, repeat_penalty=1.0, min_p=0.0)


@dataclass
class Agreement:
    """How far the programs are from torch: in the logits of the last position, and in the greedy answers. Each row's mean is subtracted
    from its logits, because llama.cpp's server tells probabilities, which fix logits only up to a constant."""

    texts: int
    f32: float  # transformers
    f16: dict[str, float]  # by program: distance from torch with the weights as they were trained
    rounded: dict[str, float]  # the same from torch with the weights in fp16
    prompts: int
    same: int  # prompts whose answers are equal in all four
    differ: dict[str, int]  # by program: answers that are not torch's
    # where such an answer departs: by how much torch prefers its own token, at most; ties can go either way
    parted: float


def texts(count: int, *, seed: int = 1) -> list[str]:
    """A quarter each: Russian, English, emoji, random bytes (as a program gets them: broken UTF-8 is U+FFFD)."""
    draw, found = random.Random(seed), []
    for i in range(count):
        kind = ["Russian", "English", "emoji", "bytes"][i % 4]
        if kind == "bytes":
            found.append(draw.randbytes(draw.randint(1, 12)).decode(errors="replace"))
        else:
            found.append(
                " ".join(draw.choices(WORDS[kind].split(" "), k=draw.randint(1, 6))) + draw.choice(["", "?", "!", "\n"])
            )
    return found


def compare(
    model: LanguageModel,
    tokenizer: Tokenizer,
    *,
    program: Path,
    folder: Path,
    base: bool = False,
    count: int = 200,
    answer: int = 64,
) -> Agreement:
    """Runs `model` in all four programs. `program` is the chat program, `folder` an empty folder; `answer` tokens are generated after
    each text, which is cut so that both fit into the context."""
    import transformers

    about = About("same", "f16", GREEDY, "same", "sft", base=base)
    found = [fitting(text, tokenizer, base, model.config.context - answer) for text in texts(count)]
    prompts = [prompt(text, tokenizer, base) for text in found]

    want = torch_logits(model, prompts)
    for name in ("f32", "f16", "gguf", "bundle"):
        (folder / name).mkdir(parents=True)
    hf.write(model, tokenizer, dataclasses.replace(about, dtype="f32"), folder / "f32")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder / "f32").eval()
    f32 = farthest(want, torch_logits(theirs, prompts))

    model = copy.deepcopy(model)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(weight.half().float())
    for name, writer in {"f16": hf, "gguf": gguf, "bundle": bundle}.items():
        writer.write(model, tokenizer, about, folder / name)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder / "f16", dtype=torch.float32).eval()
    llama = LlamaCpp(folder / "gguf" / "model-f16.gguf", context=model.config.context)
    ours = [program, "--model", folder / "bundle"]
    logits = {
        "transformers": torch_logits(theirs, prompts),
        "llama.cpp": np.stack([llama.log_probabilities(ids, model.vocab_size) for ids in prompts]),
        "minitron-chat": np.array(
            [line["logits"] for line in ask([*ours, "logits"], [{"ids": ids} for ids in prompts])]
        ),
    }
    rounded = torch_logits(model, prompts)

    asked = [{"text": t} if base else {"messages": [{"role": "user", "content": t}]} for t in found]
    told = ask([*ours, "complete"], [line | {"max_tokens": answer} for line in asked])
    sampling = dataclasses.replace(GREEDY.sampling(), max_tokens=answer)
    decoding = Decoding.of(tokenizer, seed=1)
    answers = {
        "torch": [a.ids for a in generate(model, prompts, sampling=sampling, decoding=decoding)],
        "transformers": [their_answer(theirs, ids, answer) for ids in prompts],
        "llama.cpp": [llama.answer(ids, answer, never=tokenizer.never_sampled) for ids in prompts],
        "minitron-chat": [line["ids"] for line in told],
    }
    answers = {name: [[i for i in ids if i != tokenizer.end] for ids in many] for name, many in answers.items()}
    parted = 0.0
    for many in answers.values():
        for ids, first, other in zip(prompts, answers["torch"], many, strict=True):
            if first != other:
                parted = max(parted, preference(model, ids, [*first, tokenizer.end], [*other, tokenizer.end]))
    return Agreement(
        texts=len(prompts),
        f32=f32,
        f16={name: farthest(want, values) for name, values in logits.items()},
        rounded={name: farthest(rounded, values) for name, values in logits.items()},
        prompts=len(prompts),
        same=sum(all(ids == each[0] for ids in each) for each in zip(*answers.values(), strict=True)),
        differ={
            name: sum(a != b for a, b in zip(many, answers["torch"], strict=True))
            for name, many in answers.items()
            if name != "torch"
        },
        parted=parted,
    )


def preference(model: LanguageModel, prompt: list[int], first: list[int], other: list[int]) -> float:
    """Where two different answers to a prompt first differ: the logit of `first`'s token less that of `other`'s."""
    at = next(i for i, (a, b) in enumerate(zip(first, other, strict=False)) if a != b)
    logits = torch_logits(model, [prompt + first[:at]])[0]
    return float(logits[first[at]] - logits[other[at]])


def prompt(text: str, tokenizer: Tokenizer, base: bool) -> list[int]:
    return encode_text(text, tokenizer) if base else encode_prompt([{"role": "user", "content": text}], tokenizer)


def fitting(text: str, tokenizer: Tokenizer, base: bool, room: int) -> str:
    """The beginning of a text whose prompt has fewer than `room` tokens."""
    while len(prompt(text, tokenizer, base)) >= room:
        text = text[:-1]
    return text


@torch.inference_mode()
def torch_logits(model: torch.nn.Module, prompts: list[list[int]]) -> np.ndarray:
    """(prompts, V): logits of the last position, from a model of ours or of transformers'."""
    found = (model(torch.tensor([ids])) for ids in prompts)
    return np.stack([getattr(out, "logits", out)[0, -1].numpy() for out in found])


def farthest(want: np.ndarray, found: np.ndarray) -> float:
    """The largest difference between logits (prompts, V), after subtracting each row's mean, which changes no probability."""
    return float(np.abs((want - want.mean(-1, keepdims=True)) - (found - found.mean(-1, keepdims=True))).max())


@torch.inference_mode()
def their_answer(model: torch.nn.Module, ids: list[int], most: int) -> list[int]:
    """The ids from transformers' generate() with the folder's own generation_config.json, which is greedy."""
    out = model.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)), max_new_tokens=most)
    return out[0, len(ids) :].tolist()


def ask(command: list, lines: list[dict]) -> list[dict]:
    """Gives a program lines of NDJSON; returns its answers."""
    text = "".join(json.dumps(line) + "\n" for line in lines)
    done = subprocess.run([str(word) for word in command], input=text, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]
