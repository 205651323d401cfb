"""The lists of what a recipe chooses by name: shapes and their layers, optimizers, kinds of tokenizer, formats of export and of input.

Each is one file, and a line here names it (docs/extending.md). The file is imported where it is used and not here, so that
a recipe is read, checked and explained without torch; the line holds all that checking a recipe needs.

    SHAPES["llama"].load()      # the class minitron.model.llama.Llama
"""

import importlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Kind:
    """Where the thing itself is, as `package.module:name`."""

    where: str

    def load(self) -> Any:
        """The class or function, imported now."""
        module, name = self.where.split(":")
        return getattr(importlib.import_module(module), name)


@dataclass(frozen=True)
class Shape(Kind):
    """A subclass of `minitron.model.shape.Trunk`.

    `options` are those of [model] that it has and other shapes lack: what it does not list is refused unless at its default.
    `gated`: its MLP has three matrices, as SwiGLU's, and d_ff is by default 8/3 d_model in place of 4.
    `even_heads`: heads must be even in width (RoPE turns pairs).
    """

    options: tuple[str, ...] = ()
    gated: bool = False
    even_heads: bool = False


@dataclass(frozen=True)
class TokenizerKind(Kind):
    """A subclass of `minitron.tokenizer.base.Tokenizer`.

    `sized`: it makes as many tokens as tokenizer.vocab_size says; else as many as the text needs, all of which it reads.
    `normalizes`: it takes any tokenizer.normalization; else only `identity`.
    `learns`: it is trained on text; else it comes with an imported model.
    """

    sized: bool = True
    normalizes: bool = True
    learns: bool = True


@dataclass(frozen=True)
class Export(Kind):
    """A function write(model, tokenizer, about, out) of a file in minitron/interop.

    `dtypes` are how it can store matrices, `usual` how it does unless told (empty: as export.dtype says).
    `apart`: it writes into a folder of its own unless told, beside the bundle's.
    `compensates`: its q4 is rounded by what the matrices multiply (`train.calibrate`).
    `adapter`: it writes what LoRA trained in sft, and is for nothing else.
    """

    dtypes: tuple[str, ...] = ("f16", "q8", "q4")
    usual: str = ""
    apart: bool = False
    compensates: bool = False
    adapter: bool = False


SHAPES = {
    "llama": Shape(
        "minitron.model.llama:Llama",
        options=("n_kv_heads", "head_dim", "qk_norm", "untied_head", "rope_theta"),
        gated=True,
        even_heads=True,
    ),
    "nanogpt": Shape("minitron.model.nanogpt:GPT", options=("bias",)),
    "stream": Shape(
        "minitron.model.stream:Stream",
        options=("n_kv_heads", "head_dim", "untied_head", "rope_theta", "layers", "window", "conv_width"),
        gated=True,
        even_heads=True,
    ),
}

# Subclasses of minitron.model.shape.Block: what `model.layers` of a `stream` names.
LAYERS = {
    "conv": Kind("minitron.model.short_conv:ConvBlock"),
    "window": Kind("minitron.model.window:WindowBlock"),
    "delta": Kind("minitron.model.delta:DeltaBlock"),
}

# Subclasses of minitron.train.optimizer.Method.
OPTIMIZERS = {
    "adamw": Kind("minitron.train.adamw:AdamW"),
    "muon": Kind("minitron.train.muon:Muon"),
}

TOKENIZERS = {
    "bpe": TokenizerKind("minitron.tokenizer.bpe:BPE"),
    "bpe-spaces": TokenizerKind("minitron.tokenizer.bpe_spaces:SpacedBPE"),
    "char-bpe": TokenizerKind("minitron.tokenizer.char_bpe:CharacterBPE"),
    "char": TokenizerKind("minitron.tokenizer.char:Characters", sized=False),
    "bytes": TokenizerKind("minitron.tokenizer.bytes:Bytes", sized=False),
    "byte-bpe": TokenizerKind("minitron.tokenizer.byte_bpe:ByteBPE", sized=False, normalizes=False, learns=False),
}

# Lists of minitron.data.cleaning.Pattern, for pretrain.clean.
CLEANINGS = {
    "ru-classics": Kind("minitron.data.ru_classics:PATTERNS"),
}

# Functions write(model, tokenizer, about: minitron.interop.about.About, out: Path).
EXPORTS = {
    "bundle": Export("minitron.interop.bundle:write", compensates=True),
    "hf": Export("minitron.interop.hf:write", dtypes=("f32", "f16", "bf16"), usual="f32", apart=True),
    "peft": Export("minitron.interop.peft:write", dtypes=("f32",), usual="f32", apart=True, adapter=True),
    "gguf": Export("minitron.interop.gguf:write"),
}

# Ending of a file's name -> a subclass of minitron.data.formats.source.Source.
INPUTS = {
    ".parquet": Kind("minitron.data.formats.parquet:Parquet"),
    ".jsonl": Kind("minitron.data.formats.json_lines:JsonLines"),
    ".ndjson": Kind("minitron.data.formats.json_lines:JsonLines"),
    ".csv": Kind("minitron.data.formats.delimited:Csv"),
    ".tsv": Kind("minitron.data.formats.delimited:Tsv"),
    ".json": Kind("minitron.data.formats.json_array:JsonArray"),
    ".txt": Kind("minitron.data.formats.text:Text"),
    ".md": Kind("minitron.data.formats.text:Text"),
}

# Subclasses of minitron.data.chats.export.Export, in the order in which they are asked whether a file is theirs.
CHATS = {
    "chatgpt": Kind("minitron.data.chats.chatgpt:ChatGPT"),
    "claude": Kind("minitron.data.chats.claude:Claude"),
    "telegram": Kind("minitron.data.chats.telegram:Telegram"),
    "discord": Kind("minitron.data.chats.discord:Discord"),
    "sillytavern": Kind("minitron.data.chats.sillytavern:SillyTavern"),
    "whatsapp": Kind("minitron.data.chats.whatsapp:WhatsApp"),
    "script": Kind("minitron.data.chats.script:Script"),
}
