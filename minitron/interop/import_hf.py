"""Reads model folders of Hugging Face's: config.json, weights in safetensors (one file, or shards and an index), a tokenizer.

Reads LlamaForCausalLM, Qwen3ForCausalLM and GPT2LMHeadModel, and refuses a model with an option that minitron does not compute.
Knows nothing about runs.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors import safe_open
from torch import Tensor

from minitron.core.errors import MinitronError
from minitron.interop.foreign import (
    ANOTHER_MODEL,
    COPY_AGAIN,
    OTHER_GELU,
    OWN_HEAD,
    Imported,
    check_names,
    embedding_name,
    read_json,
    shape,
)
from minitron.interop.import_tokenizer import with_markers
from minitron.model.language_model import LanguageModel
from minitron.recipe.training import ModelConfig
from minitron.tokenizer.byte_bpe import ByteBPE, file_of
from minitron.tokenizer.forms import OURS

# Buffers that old checkpoints hold as well: masks and rotary frequencies, which minitron computes itself.
BUFFERS = (".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq")
DTYPES = ("F32", "F16", "BF16")


def read(folder: Path) -> Imported:
    """The model in a folder. Raises MinitronError if a file is missing or damaged, or minitron has no such model."""
    about = read_json(folder / "config.json")
    kind = about.get("model_type")
    readers: dict[Any, Callable[[dict[str, Any], Path], dict[str, Any]]] = {
        "llama": llama,
        "qwen3": llama,
        "gpt2": gpt2,
    }
    if not isinstance(kind, str) or kind not in readers:
        raise MinitronError(f"{folder} holds a model of the kind {kind!r}", hint=f"minitron reads {', '.join(readers)}")
    values = readers[kind](about, folder / "config.json")
    files = tensor_files(folder)
    stored = {our_name(name, kind): name for name in files if not name.endswith(BUFFERS)}
    if len(stored) < sum(not name.endswith(BUFFERS) for name in files):
        raise MinitronError(f"{folder} has a tensor twice, with and without a prefix", hint=COPY_AGAIN)
    if kind != "gpt2":
        values["untied_head"] = not about.get("tie_word_embeddings", "lm_head.weight" not in stored)
    if not values.get("untied_head"):
        stored.pop("lm_head.weight", None)
    config = shape(values, folder / "config.json")
    tensors = load(folder, files, stored, config)
    remark = ""
    if kind == "gpt2" and about.get("activation_function", "gelu_new") != "gelu":
        remark = f"it was made with {OTHER_GELU}"
    tokenizer, tensors, base = read_tokenizer(folder, about, tensors, config)
    return Imported(config, tensors, tokenizer, base, remark)


def llama(about: dict[str, Any], file: Path) -> dict[str, Any]:
    """The values of a recipe's [model] section for a Llama or a Qwen3."""
    rope = about.get("rope_parameters") or about.get("rope_scaling") or {}
    if not isinstance(rope, dict) or rope.get("rope_type", rope.get("type", "default")) != "default":
        refuse(file, "stretches its positions (rope_scaling)")
    if about.get("hidden_act", "silu") != "silu":
        refuse(file, "has another activation than silu")
    if about.get("attention_bias") or about.get("mlp_bias"):
        refuse(file, "has biases in its attention or MLP")
    if about.get("use_sliding_window"):
        refuse(file, "has sliding windows")
    heads = about.get("num_attention_heads")
    head_dim = about.get("head_dim") or (128 if about["model_type"] == "qwen3" else 0)
    width = about.get("hidden_size")
    if type(heads) is int and heads > 0 and type(width) is int and head_dim * heads == width:
        head_dim = 0
    return {
        "arch": "llama",
        "n_layers": about.get("num_hidden_layers"),
        "n_heads": heads,
        "n_kv_heads": about.get("num_key_value_heads") or heads,
        "head_dim": head_dim,
        "d_model": width,
        "d_ff": about.get("intermediate_size"),
        "context": about.get("max_position_embeddings", 2048),
        "qk_norm": about["model_type"] == "qwen3",
        "rope_theta": rope.get("rope_theta", about.get("rope_theta", 10000.0)),
        "norm_eps": about.get("rms_norm_eps", 1e-6),
    }


def gpt2(about: dict[str, Any], file: Path) -> dict[str, Any]:
    """The values of a recipe's [model] section for a GPT-2."""
    if about.get("activation_function", "gelu_new") not in ("gelu", "gelu_new", "gelu_pytorch_tanh"):
        refuse(file, "has another activation than GELU")
    usual = {"scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False, "add_cross_attention": False}
    if any(about.get(option, value) != value for option, value in usual.items()):
        refuse(file, "computes attention in a way of its own")
    if not about.get("tie_word_embeddings", True):
        refuse(file, OWN_HEAD)
    return {
        "arch": "nanogpt",
        "n_layers": about.get("n_layer"),
        "n_heads": about.get("n_head"),
        "n_kv_heads": about.get("n_head"),
        "d_model": about.get("n_embd"),
        "d_ff": about.get("n_inner") or 0,
        "context": about.get("n_positions", 1024),
        "bias": True,
        "norm_eps": about.get("layer_norm_epsilon", 1e-5),
    }


def refuse(file: Path, what: str) -> None:
    raise MinitronError(f"the model of {file} {what}", hint=ANOTHER_MODEL)


def our_name(name: str, kind: str) -> str:
    """Adds the trunk's prefix to a name, since some checkpoints hold the trunk alone, without it."""
    prefix = "transformer." if kind == "gpt2" else "model."
    return name if name.startswith((prefix, "lm_head.")) else prefix + name


def tensor_files(folder: Path) -> dict[str, Path]:
    """Tensor -> the file that holds it: model.safetensors, or the shard that the index names. Raises MinitronError if a shard is
    outside the folder or lacks the tensor."""
    whole, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if whole.exists():
        return dict.fromkeys(names_in(whole), whole)
    if not index.exists():
        hint = "save it with safetensors: model.save_pretrained(folder)"
        raise MinitronError(f"{folder} has neither model.safetensors nor an index of shards", hint=hint)
    found = read_json(index).get("weight_map")
    if not isinstance(found, dict) or not found:
        raise MinitronError(f"{index} has no weight_map", hint=COPY_AGAIN)
    files: dict[str, Path] = {}
    held: dict[Any, set[str]] = {}
    for name, shard in found.items():
        if (
            not isinstance(shard, str)
            or Path(shard).name != shard
            or "\\" in shard
            or not shard.endswith(".safetensors")
        ):
            raise MinitronError(
                f"{index} names the file {str(shard)[:100]!r}", hint="shards lie beside it and end in .safetensors"
            )
        if shard not in held:
            held[shard] = names_in(folder / shard)
        if name not in held[shard]:
            raise MinitronError(
                f"{index} says that {name[:100]} is in {shard}, where it is not",
                hint="copy or download the folder again",
            )
        files[name] = folder / shard
    return files


def names_in(path: Path) -> set[str]:
    """The names of a file's tensors, from its header."""
    with opened(path) as file:
        return set(file.keys())


def opened(path: Path) -> Any:
    if not path.exists():
        raise MinitronError(f"{path} is missing", hint="copy the whole folder of the model")
    try:
        return safe_open(path, "pt")
    except (safetensors.SafetensorError, OSError) as error:
        raise MinitronError(f"{path} is no file of tensors, or not all of it", hint=COPY_AGAIN) from error


def load(folder: Path, files: dict[str, Path], stored: dict[str, str], config: ModelConfig) -> dict[str, Tensor]:
    """Our names -> tensors in fp32. All names and shapes are checked before the first tensor is read."""
    shapes, turned = {}, ("c_attn.weight", "c_proj.weight", "c_fc.weight") if config.arch == "nanogpt" else ()
    handles = {path: opened(path) for path in set(files.values())}
    for ours, theirs in stored.items():
        piece = handles[files[theirs]].get_slice(theirs)
        if piece.get_dtype() not in DTYPES:
            raise MinitronError(
                f"{theirs[:100]} is of the type {piece.get_dtype()}", hint=f"minitron reads {', '.join(DTYPES)}"
            )
        size = tuple(piece.get_shape())
        shapes[ours] = size[::-1] if ours.endswith(turned) else size
    embedding = shapes.get(embedding_name(config), ())
    if len(embedding) != 2 or not 1 <= embedding[0] <= 1 << 20:
        raise MinitronError(f"{folder} has no embedding", hint="copy the whole folder of the model")
    with torch.device("meta"):  # takes no memory, whatever the sizes
        model = LanguageModel(config, embedding[0])
    check_names({name: tuple(w.shape) for name, w in model.named_parameters()}, shapes)
    found = {}
    for ours, theirs in stored.items():
        tensor = handles[files[theirs]].get_tensor(theirs).float()
        found[ours] = tensor.T.contiguous() if ours.endswith(turned) else tensor
    return found


def read_tokenizer(
    folder: Path, about: dict[str, Any], tensors: dict[str, Tensor], config: ModelConfig
) -> tuple[bytes, dict[str, Tensor], bool]:
    """The tokenizer as a file of ours; the tensors, with rows for any markers that were added; and whether it is a base model, which
    was not trained on dialogues."""
    settings = read_json(folder / "tokenizer_config.json", needed=False)
    jinja = folder / "chat_template.jinja"
    template = (
        jinja.read_text(encoding="utf-8", errors="replace")[:100_000]
        if jinja.exists()
        else settings.get("chat_template")
    )
    if isinstance(template, list):  # several by name
        template = next((t.get("template") for t in template if isinstance(t, dict) and t.get("name") == "default"), "")
    template = template if isinstance(template, str) else ""
    if (folder / "tokenizer.model").exists():
        data, tensors, had = with_markers(folder / "tokenizer.model", tensors)
        return data, tensors, not (had and OURS.opener in template)
    whole = read_json(folder / "tokenizer.json")
    end = about.get("eos_token_id")
    end = end[0] if isinstance(end, list) and end else end
    rows = tensors[embedding_name(config)].shape[0]
    if type(end) is not int or not 0 <= end < rows:
        raise MinitronError(
            f"{folder / 'config.json'} has no eos_token_id below {rows}",
            hint='set "eos_token_id" in it: the id of the token that ends a text',
        )
    data = file_of(whole, size=rows, end=end)
    made = ByteBPE(data, folder / "tokenizer.json")
    return data, tensors, not (made.markers and made.form.opener in template)
