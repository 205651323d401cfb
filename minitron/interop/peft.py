"""`peft`: what sft trained with LoRA, as an adapter that Hugging Face's peft loads onto the model that training started from.

    adapter_config.json  adapter_model.safetensors    A and B under transformers' names, and the embedding rows of the markers
    base/                                             the model that training started from, with its tokenizer, as `hf` writes it
    README.md  tokenizer.json ...                     as in `hf`

tests/test_peft.py checks all of it against peft. Knows nothing about recipes.
"""

from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save
from torch import Tensor

from minitron.core.console import say
from minitron.core.files import atomic_write
from minitron.interop import hf, model_card
from minitron.interop.about import About
from minitron.model.language_model import LanguageModel
from minitron.tokenizer.base import Tokenizer
from minitron.train import checkpoint

PREFIX = "base_model.model."  # peft's files have this before each module's name
ROWS = ".token_adapter.trainable_tokens_delta"  # whole rows of an embedding, not differences, in spite of the name
ENDS = {".lora_a": ".lora_A.weight", ".lora_b": ".lora_B.weight", ".rows": ROWS}  # ours -> peft's


def write(model: LanguageModel, tokenizer: Tokenizer | None, about: About, out: Path) -> None:
    """Writes the files into the folder `out`. `about` names the adapter's checkpoint and holds the model that it changes."""
    assert about.adapter is not None
    assert about.start is not None
    lora = checkpoint.check(about.adapter)["lora"]
    tensors = load_file(about.adapter / checkpoint.ADAPTER)
    files = hf.tokenizer_files(tokenizer, base=about.base, context=model.config.context) if tokenizer else {}
    files["README.md"] = model_card.text(model, tokenizer, about)
    files["adapter_model.safetensors"] = save(
        {their_name(name, model): t for name, t in tensors.items()}, {"format": "pt"}
    )
    files["adapter_config.json"] = hf.as_json(config(model, tensors, lora, base=out / "base"))
    # peft loads no folder without this file, so nobody loads a half-written one
    (out / "adapter_config.json").unlink(missing_ok=True)
    hf.write_model(about.start, tokenizer, about, out / "base")
    for name, data in files.items():
        atomic_write(out / name, data)
    count = sum(t.numel() for t in tensors.values())
    say(f"export: {about.title}, {count / 1e6:.2f}M parameters of LoRA, and the model that they change -> {out}")


def their_name(name: str, model: LanguageModel) -> str:
    """Our tensor name -> its name in adapter_model.safetensors."""
    end = next(end for end in ENDS if name.endswith(end))
    return PREFIX + their_module(name, model) + ENDS[end]


def their_module(name: str, model: LanguageModel) -> str:
    """Our tensor name -> the path of the module that it changes, in the model that `--format hf` writes."""
    end = next(end for end in ENDS if name.endswith(end))
    weight = name.removesuffix(end) + ".weight"
    return hf.words(model).names.get(weight, weight).removesuffix(".weight")


def config(model: LanguageModel, tensors: dict[str, Tensor], lora: dict[str, Any], *, base: Path) -> dict[str, Any]:
    """The content of adapter_config.json."""
    modules, ends = (
        {their_module(name, model).rpartition(".")[2] for name in tensors if name.endswith(end)}
        for end in (".lora_a", ".rows")
    )
    found: dict[str, Any] = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base.as_posix(),
        "r": next(t.shape[0] for name, t in tensors.items() if name.endswith(".lora_a")),
        "lora_alpha": lora["alpha"],
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": bool(hf.words(model).transposed),
        "target_modules": sorted(modules),
        "inference_mode": True,
    }
    if ends:
        found["trainable_token_indices"] = {end: lora["tokens"] for end in sorted(ends)}
    return found
