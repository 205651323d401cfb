"""Merges a LoRA adapter of Hugging Face's peft into the weights of the model that it was trained on.

Reads adapter_config.json and adapter_model.safetensors, which may hold low-rank factors of matrices, rows of the vocabulary
(`trainable_token_indices`) and whole matrices (`modules_to_save`). Refuses an adapter that minitron would compute differently.
Knows nothing about runs.
"""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from minitron.core.errors import MinitronError
from minitron.interop.foreign import ANOTHER_MODEL, COPY_AGAIN, OWN_HEAD, Imported, embedding_name, read_json
from minitron.interop.import_hf import DTYPES, opened
from minitron.interop.peft import PREFIX, ROWS

A, B = ".lora_A.weight", ".lora_B.weight"
HEAD = "lm_head.weight"
MERGE = "merge it with peft first"
REFUSED = {  # options that change what is computed -> the value that leaves it unchanged
    "use_dora": False,
    "bias": "none",
    "lora_bias": False,
    "rank_pattern": {},
    "alpha_pattern": {},
    "layer_replication": None,
    "alora_invocation_tokens": None,
    "use_qalora": False,
    "use_bdlora": None,
    "arrow_config": None,
    "kasa_config": None,
    "monteclora_config": None,
}
# initialisations that also change the base model's weights
CHANGE_THE_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")


def merged(found: Imported, folder: Path) -> Imported:
    """The same model with the adapter added to its weights. Raises MinitronError if the adapter belongs to another model."""
    if not folder.is_dir():
        raise MinitronError(f"there is no folder {folder}", hint="name the folder with adapter_config.json", code=2)
    file = folder / "adapter_config.json"
    told = read_json(file)
    scale = scale_of(told, file)
    tensors, weights = dict(found.tensors), read(folder / "adapter_model.safetensors")
    embedding = embedding_name(found.model)
    changed = {*weights, *(name.removesuffix(A) + ".weight" for name in weights)}
    if tied := HEAD not in tensors and bool(changed & {embedding, HEAD}):
        tensors[HEAD] = tensors[embedding]  # peft changes a matrix that both use for one of them alone
    for name, factor in sorted(weights.items(), key=lambda item: item[0].endswith((A, ROWS))):  # whole matrices first
        if name.endswith(B):
            continue
        if name.endswith(A):
            module = name.removesuffix(A)
            change = weights.get(module + B)
            if change is None or change.ndim != 2 or factor.ndim != 2 or change.shape[1] != len(factor):
                raise other(folder, name)
            matrix = target(tensors, f"{module}.weight", (len(change), factor.shape[1]), folder)
            tensors[f"{module}.weight"] = matrix + scale * (change @ factor)
        elif name.endswith(ROWS):
            module = name.removesuffix(ROWS)
            rows = rows_of(told, module.rpartition(".")[2], folder)
            matrix = target(tensors, f"{module}.weight", (max(rows, default=-1) + 1, *factor.shape[1:]), folder)
            if len(rows) != len(factor):
                raise other(folder, name)
            tensors[f"{module}.weight"] = matrix.clone()
            tensors[f"{module}.weight"][rows] = factor
        elif name in tensors:  # modules_to_save
            matrix = target(tensors, name, tuple(factor.shape), folder)
            tensors[name] = matrix.clone()
            tensors[name][: len(factor)] = factor
        elif ".lora_" in name:
            raise MinitronError(f"{folder} has {name[:100]}, which minitron does not compute", hint=MERGE)
        else:
            raise other(folder, name)
    if spare := [name for name in weights if name.endswith(B) and name.removesuffix(B) + A not in weights]:
        raise other(folder, spare[0])
    if tied and torch.equal(tensors[HEAD], tensors[embedding]):
        del tensors[HEAD]
    untied = HEAD in tensors
    if untied and found.model.arch == "nanogpt":
        raise MinitronError(f"with the adapter in {folder} the model {OWN_HEAD}", hint=ANOTHER_MODEL)
    return replace(found, tensors=tensors, model=replace(found.model, untied_head=untied))


def scale_of(told: dict[str, Any], file: Path) -> float:
    """The factor by which the product B A is multiplied: alpha / r, with rsLoRA alpha / sqrt(r)."""
    if told.get("peft_type") != "LORA":
        raise MinitronError(f"{file} is of the kind {str(told.get('peft_type'))[:40]!r}", hint="minitron reads LORA")
    for option, usual in REFUSED.items():
        if told.get(option, usual) not in (usual, None):
            raise MinitronError(f"{file} has {option}, which minitron does not compute", hint=MERGE)
    if str(told.get("init_lora_weights", "")).lower().startswith(CHANGE_THE_BASE):
        raise MinitronError(f"{file} also changed the model that it is for", hint=MERGE)
    rank, alpha = told.get("r"), told.get("lora_alpha")
    if type(rank) is not int or rank < 1 or not isinstance(alpha, int | float) or not math.isfinite(alpha):
        raise MinitronError(f"{file} has no r and lora_alpha", hint=COPY_AGAIN)
    return alpha / (math.sqrt(rank) if told.get("use_rslora") else rank)


def rows_of(told: dict[str, Any], end: str, folder: Path) -> list[int]:
    """The ids of the rows that the adapter replaces in the module `end` (the embedding or the head)."""
    rows = told.get("trainable_token_indices")
    rows = rows.get(end) if isinstance(rows, dict) else rows
    if not isinstance(rows, list) or not all(type(i) is int and 0 <= i < 1 << 20 for i in rows):
        raise MinitronError(f"{folder} does not say which rows of {end[:40]} it changes", hint=COPY_AGAIN)
    return rows


def read(path: Path) -> dict[str, Tensor]:
    """The adapter's tensors in fp32, without peft's prefix on their names."""
    found = {}
    with opened(path) as file:
        for name in file.keys():  # noqa: SIM118 - not a dictionary
            if file.get_slice(name).get_dtype() not in DTYPES:
                raise MinitronError(f"{name[:100]} is no matrix of numbers", hint=f"minitron reads {', '.join(DTYPES)}")
            # peft also saves the whole matrix to which it adds a change of the embedding or the head
            found[name.removeprefix(PREFIX).replace(".base_layer.", ".")] = file.get_tensor(name).float()
    if not found:
        raise MinitronError(f"{path} is empty", hint=COPY_AGAIN)
    return found


def target(tensors: dict[str, Tensor], name: str, size: tuple[int, ...], folder: Path) -> Tensor:
    """The model's tensor of that name. Raises MinitronError if there is none of this size; embedding and head may have more rows."""
    matrix = tensors.get(name)
    if matrix is None or len(size) != matrix.ndim or size[1:] != matrix.shape[1:] or size[0] > len(matrix):
        raise other(folder, name)
    if size[0] < len(matrix) and name.startswith(("model.layers.", "transformer.h.")):
        raise other(folder, name)
    return matrix


def other(folder: Path, name: str) -> MinitronError:
    return MinitronError(
        f"the adapter in {folder} is of another model: {name[:100]}",
        hint="import it with the model that it was trained on",
    )
