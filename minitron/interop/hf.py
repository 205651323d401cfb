"""`hf`: a folder that transformers' from_pretrained loads, and so do vLLM, TRL and peft; none of them needs code of ours.

    config.json  model.safetensors  generation_config.json      a Llama, a Qwen3 if it has QK-norm, a GPT-2, or an LFM2
    tokenizer.json  tokenizer_config.json  chat_template.jinja  our ids, and the dialogue format and loss mask of sft
    README.md                                                   the model card, from the run's files

tests/test_hf.py checks all of it against transformers. Knows nothing about recipes.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from minitron.core.console import say, warn
from minitron.core.errors import MinitronError
from minitron.core.files import atomic_write
from minitron.interop import model_card
from minitron.interop.about import About, check_fp16
from minitron.model.language_model import LanguageModel
from minitron.model.shape import HuggingFace
from minitron.tokenizer.base import Tokenizer
from minitron.tokenizer.sentencepiece import SentencePiece

DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
# The chat template of docs/formats.md, in Jinja. `generation` encloses what the loss is counted on (transformers' assistant mask).
TEMPLATE = """\
{start}\
{{%- for message in messages -%}}
{{%- if message['role'] == 'assistant' -%}}
{{{{- {assistant} -}}}}{{%- generation -%}}{{{{- {content} + {end} -}}}}{{%- endgeneration -%}}{after}
{{%- elif message['role'] == 'user' or (message['role'] == 'system' and loop.first) -%}}
{{{{- ({system} if message['role'] == 'system' else {user}) + {content} + {closing} -}}}}
{{%- else -%}}
{{{{- raise_exception('roles are system (first), user and assistant') -}}}}
{{%- endif -%}}
{{%- endfor -%}}
{{%- if add_generation_prompt -%}}{{{{- {assistant} -}}}}{{%- endif -%}}"""


def write(model: LanguageModel, tokenizer: Tokenizer | None, about: About, out: Path) -> None:
    """Writes the files into the folder `out`; without a tokenizer, none of the tokenizer's files. Raises MinitronError if `out` holds a
    bundle, or transformers has no such model."""
    if (out / "weights.bin").exists():
        raise MinitronError(
            f"{out} holds a bundle, whose config.json would go", hint="name another folder: --out DIR", code=2
        )
    words(model)  # raises before any file is written
    write_model(model, tokenizer, about, out, card=model_card.text(model, tokenizer, about))
    say(f"export: {about.title}, {model.count_params() / 1e6:.2f}M parameters as {about.dtype} -> {out}")


def write_model(model: LanguageModel, tokenizer: Tokenizer | None, about: About, out: Path, *, card: str = "") -> None:
    """Writes what from_pretrained reads, and the model card unless `card` is empty."""
    shape = words(model)
    files: dict[str, str | bytes] = {"model.safetensors": save(tensors(model, shape, about.dtype), {"format": "pt"})}
    if tokenizer:
        if any(
            n["type"] == "Precompiled"
            for n in (tokenizer.to_tokenizer_json()["normalizer"] or {}).get("normalizers", [])
        ):
            warn(
                "transformers applies tokenizer.normalization differently to combining marks: rare texts get other ids there "
                "(docs/interop.md)"
            )
        files |= tokenizer_files(tokenizer, base=about.base, context=model.config.context)
        files["generation_config.json"] = as_json(generation(tokenizer, about))
    if card:
        files["README.md"] = card
    files["config.json"] = as_json(config(model, shape, tokenizer, about))
    # config.json is removed first and written last: without it a folder is no model, so nobody loads a half-written one
    (out / "config.json").unlink(missing_ok=True)
    for name, data in files.items():
        atomic_write(out / name, data)


def as_json(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def words(model: LanguageModel) -> HuggingFace:
    """The shape in transformers' terms. Raises MinitronError if they lack a term for part of it: that part would be left out silently."""
    m, shape = model.config, model.trunk.hugging_face()
    hint = "train without it, or use --format bundle"
    if shape is None:
        raise MinitronError(
            f"transformers has no model.arch = '{m.arch}' with these options", hint="use --format bundle"
        )
    if m.logit_cap:
        raise MinitronError(f"{shape.architecture} cannot store model.logit_cap", hint=hint)
    return shape


def config(model: LanguageModel, shape: HuggingFace, tokenizer: Tokenizer | None, about: About) -> dict[str, Any]:
    """The content of config.json."""
    return {
        "architectures": [shape.architecture],
        **shape.config,
        "vocab_size": model.vocab_size,
        "tie_word_embeddings": not model.config.untied_head,
        "bos_token_id": None,
        "eos_token_id": tokenizer.end if tokenizer else None,
        "pad_token_id": tokenizer.pad if tokenizer else None,
        "dtype": str(DTYPES[about.dtype]).removeprefix("torch."),
    }


def tensors(model: LanguageModel, shape: HuggingFace, dtype: str) -> dict[str, Tensor]:
    """Transformers' names -> tensors; a head that is tied to the embedding is not written again."""
    if dtype == "f16":
        check_fp16(model)
    found = {}
    for name, parameter in model.named_parameters():
        values = parameter.detach().to("cpu", DTYPES[dtype])
        values = (values.T if name.endswith(shape.transposed) else values).contiguous()
        found[shape.names.get(name, name)] = values
    if shape.biases:
        for name, weight in model.named_parameters():
            if name.endswith(".weight") and weight is not model.embedding and name != model.position_table:
                zeros = torch.zeros(weight.shape[0], dtype=DTYPES[dtype])
                found.setdefault(name.removesuffix("weight") + "bias", zeros)
    return found


def tokenizer_files(tokenizer: Tokenizer, *, base: bool, context: int) -> dict[str, str | bytes]:
    """tokenizer.json, tokenizer_config.json, chat_template.jinja unless it is a base model, and SentencePiece's own file if it has one."""
    whole = tokenizer.to_tokenizer_json()
    names = {token["id"]: token["content"] for token in whole["added_tokens"]}
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context,
        "eos_token": names.get(tokenizer.end),
        "pad_token": names.get(tokenizer.pad),
        "clean_up_tokenization_spaces": False,
        "add_bos_token": False,
        "add_eos_token": False,
        "model_input_names": ["input_ids", "attention_mask"],
    }
    files: dict[str, str | bytes] = {"tokenizer.json": json.dumps(whole, ensure_ascii=False)}
    files["tokenizer_config.json"] = as_json(settings)
    if isinstance(tokenizer, SentencePiece):
        files["tokenizer.model"] = tokenizer.data
    return files if base else files | {"chat_template.jinja": template(tokenizer, names)}


def template(tokenizer: Tokenizer, names: dict[int, str]) -> str:
    """The tokenizer's chat template in Jinja; `names`: special token's id -> its text."""

    def quoted(ids: list[int]) -> str:
        return json.dumps("".join(names.get(i) or tokenizer.decode([i]) for i in ids), ensure_ascii=False)

    roles = {role: quoted(ids) for role, ids in tokenizer.opening.items()}
    start, after = (f"{{{{- {quoted(ids)} -}}}}" if ids else "" for ids in (tokenizer.start, tokenizer.closing[1:]))
    content = "(message['content'] | trim)" if tokenizer.form.strip else "message['content']"
    ends = {"end": quoted(tokenizer.closing[:1]), "closing": quoted(tokenizer.closing)}
    return TEMPLATE.format(**roles, **ends, start=start, after=after, content=content)


def generation(tokenizer: Tokenizer, about: About) -> dict[str, Any]:
    """The content of generation_config.json: the chat program's sampling settings, and the tokens that no answer may hold."""
    e = about.settings
    found: dict[str, Any] = {
        "eos_token_id": tokenizer.end,
        "pad_token_id": tokenizer.pad,
        "suppress_tokens": tokenizer.never_sampled,
        "max_new_tokens": e.max_tokens,
        "repetition_penalty": e.repeat_penalty,
        "do_sample": e.temperature > 0,
    }
    if e.temperature > 0:
        found |= {"temperature": e.temperature, "top_k": e.top_k, "top_p": e.top_p, "min_p": e.min_p}
    return found
