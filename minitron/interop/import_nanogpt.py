"""Reads nanoGPT's ckpt.pt, with or without biases, compiled or not (`_orig_mod.`). A file beside it says what the ids mean:

    tokenizer.model                  SentencePiece
    meta.pkl                         characters: a dictionary with `itos`, as nanoGPT's prepare.py writes it
    tokenizer.json                   GPT-2's pieces (from any folder with GPT-2's tokenizer), if there is neither of the others

Both pickles are read without running any code in them: torch's with `weights_only`, the other by an unpickler that accepts only
plain dictionaries, lists, texts and numbers. Knows nothing about runs.
"""

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from minitron.core.errors import MinitronError
from minitron.interop.foreign import (
    ANOTHER_MODEL,
    ANOTHER_TOKENIZER,
    MOST_TEXT_BYTES,
    OWN_HEAD,
    Imported,
    check_names,
    read_json,
    shape,
)
from minitron.interop.import_tokenizer import of_characters, with_markers
from minitron.model.language_model import LanguageModel
from minitron.tokenizer.byte_bpe import ByteBPE, file_of

END_OF_TEXT = "<|endoftext|>"  # the special token of GPT-2's vocabulary


def read(path: Path) -> Imported:
    """The model in a checkpoint. Raises MinitronError if it is not one of nanoGPT's."""
    arguments, weights = checkpoint(path)
    tensors = {}
    for name, tensor in weights.items():
        name = name.removeprefix("_orig_mod.")
        if not name.endswith(".attn.bias"):  # the causal mask
            tensors[name] = tensor
    embedding = tensors.get("transformer.wte.weight")
    if embedding is None or embedding.ndim != 2 or not len(embedding):
        raise MinitronError(f"{path} has no embedding", hint="it is no checkpoint of nanoGPT's train.py")
    if not torch.equal(tensors.pop("lm_head.weight", embedding).float(), embedding.float()):
        raise MinitronError(f"the model of {path} {OWN_HEAD}", hint=ANOTHER_MODEL)
    values = {ours: arguments.get(theirs) for ours, theirs in (("n_layers", "n_layer"), ("n_heads", "n_head"))}
    values |= {"n_kv_heads": arguments.get("n_head"), "d_model": arguments.get("n_embd")}
    values |= {"context": arguments.get("block_size"), "bias": arguments.get("bias", True), "arch": "nanogpt"}
    config = shape(values, path)
    with torch.device("meta"):
        model = LanguageModel(config, len(embedding))
    check_names(
        {n: tuple(w.shape) for n, w in model.named_parameters()}, {n: tuple(t.shape) for n, t in tensors.items()}
    )
    tensors = {name: tensor.float() for name, tensor in tensors.items()}
    tokenizer, tensors = read_tokenizer(path.parent, tensors, len(embedding))
    return Imported(config, tensors, tokenizer, base=True)


def checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The checkpoint's `model_args` and its weights by name."""
    hint = "name a folder of Hugging Face's, a ckpt.pt of nanoGPT or a .gguf file"
    if not zipfile.is_zipfile(path):
        raise MinitronError(f"{path} is not a model that minitron reads", hint=hint)
    try:
        # torch never compresses: a zip that unpacks to more than its own size is no checkpoint
        with zipfile.ZipFile(path) as packed:
            parts = packed.infolist()
        if (
            any(part.compress_type != zipfile.ZIP_STORED for part in parts)
            or sum(p.file_size for p in parts) > path.stat().st_size
        ):
            raise MinitronError(
                f"{path} is a compressed zip, which a checkpoint never is",
                hint="unpack it, or copy the checkpoint again",
            )
        found = torch.load(path, map_location="cpu", weights_only=True)
        arguments, weights = found["model_args"], found["model"]
        if not isinstance(arguments, dict) or not all(
            isinstance(n, str) and isinstance(t, Tensor) and t.layout == torch.strided and t.is_floating_point()
            for n, t in weights.items()
        ):
            raise TypeError("no weights")
        # views of one storage may claim more numbers than the file has
        if (
            sum(t.numel() for t in {id(t.untyped_storage()): t for t in weights.values()}.values())
            > path.stat().st_size
        ):
            raise TypeError("sizes that lie")
        if any(t.numel() > t.untyped_storage().nbytes() for t in weights.values()):
            raise TypeError("sizes that lie")
        return arguments, weights
    except (MinitronError, MemoryError, OSError):
        raise
    except Exception as error:  # torch raises whatever a broken or hostile file leads to
        raise MinitronError(f"{path} is no checkpoint of nanoGPT's, or not all of it", hint=hint) from error


def read_tokenizer(folder: Path, tensors: dict[str, Tensor], rows: int) -> tuple[bytes, dict[str, Tensor]]:
    """The tokenizer beside a checkpoint, as a file of ours, and the tensors with rows for what was added to it."""
    if (folder / "tokenizer.model").exists():
        data, tensors, _ = with_markers(folder / "tokenizer.model", tensors)
        return data, tensors
    if (folder / "meta.pkl").exists():
        return of_characters(characters(folder / "meta.pkl", rows), tensors, folder / "meta.pkl")
    if (folder / "tokenizer.json").exists():
        whole = read_json(folder / "tokenizer.json")
        ends = [token["id"] for token in whole.get("added_tokens") or [] if token.get("content") == END_OF_TEXT]
        if len(ends) != 1:
            raise MinitronError(f"{folder / 'tokenizer.json'} has no {END_OF_TEXT}", hint="copy that of GPT-2")
        data = file_of(whole, size=rows, end=ends[0])
        ByteBPE(data, folder / "tokenizer.json")  # raises now if the tokenizer is faulty
        return data, tensors
    raise MinitronError(
        f"{folder} has neither tokenizer.model nor meta.pkl nor tokenizer.json",
        hint="copy the tokenizer's file beside the checkpoint: prepare.py's meta.pkl, or GPT-2's tokenizer.json",
    )


class PlainUnpickler(pickle._Unpickler):  # the pure Python one: C's allocates as many memo entries as the file asks for
    """Unpickles texts, numbers, lists and dictionaries; refuses everything that needs a class."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it holds {module[:50]}.{name[:50]}")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it holds a reference")


def characters(path: Path, rows: int) -> list[str]:
    """The character of each id, in order. Raises MinitronError if the file holds anything but distinct single characters."""
    hint = "nanoGPT's prepare.py writes it: {'vocab_size', 'itos', 'stoi'}"
    if path.stat().st_size > MOST_TEXT_BYTES // 4:
        raise MinitronError(f"{path} is larger than {MOST_TEXT_BYTES >> 22} MB", hint=hint)
    try:
        found = PlainUnpickler(io.BytesIO(path.read_bytes())).load()
        itos = found["itos"]
        listed = [itos[i] for i in range(len(itos))]
    except Exception as error:  # whatever a broken or hostile pickle leads to
        raise MinitronError(f"{path} is no plain dictionary of characters: {str(error)[:100]}", hint=hint) from error
    if not all(isinstance(c, str) and len(c) == 1 for c in listed) or len(set(listed)) != len(listed):
        raise MinitronError(f"{path} lists something other than single characters, or one of them twice", hint=hint)
    if not 0 < len(listed) <= rows:
        raise MinitronError(f"{path} has {len(listed)} characters and the model {rows} tokens", hint=ANOTHER_TOKENIZER)
    return listed
