"""`minitron import PATH --out runs/NAME`: turns a model that was made elsewhere into a run that every later stage accepts.

PATH is a folder of Hugging Face's (Llama, Qwen3, GPT-2; safetensors, also in shards), a nanoGPT checkpoint (ckpt.pt), or a GGUF
file; `--adapter` is a folder of peft's. The files are not trusted: no pickle runs code, a size that a file states is checked
against the file's own size before it is used, and no name leads out of the folder. Knows nothing about training.
"""

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from minitron.core.console import say
from minitron.core.errors import MinitronError
from minitron.core.files import atomic_folder, atomic_write, read_error
from minitron.interop import import_gguf, import_hf, import_nanogpt, import_peft
from minitron.interop.foreign import ANOTHER_TOKENIZER, IMPORTED, Imported, check_names, embedding_name
from minitron.model.language_model import LanguageModel
from minitron.recipe.kinds import TOKENIZERS
from minitron.recipe.layout import Layout
from minitron.recipe.schema import Config
from minitron.recipe.training import PretrainConfig
from minitron.recipe.write import write_recipe
from minitron.tokenizer import kinds
from minitron.train import checkpoint


def run(path: Path, out: Path, *, adapter: Path | None = None) -> None:
    """Reads the model at `path`, merges the adapter (if any) into it, and writes the run `out`. Raises MinitronError if minitron
    cannot read them, or if `out` exists or is not in runs/."""
    if out.parent.name != "runs" or out.parent.absolute() != Path("runs").absolute():
        raise MinitronError(f"{out} is not in the folder runs of {Path.cwd()}", hint="such as --out runs/smol", code=2)
    if out.exists():
        raise MinitronError(f"{out} is there already", hint="name another, or move it away", code=2)
    found = read(path)
    write(import_peft.merged(found, adapter) if adapter else found, out, source=path)


def read(path: Path) -> Imported:
    """The model in a folder or file. Raises MinitronError if it cannot be read."""
    try:
        if path.is_dir():
            return import_hf.read(path)
        if not path.exists():
            raise MinitronError(f"there is no {path}", hint="name a folder, a ckpt.pt or a .gguf file", code=2)
        with path.open("rb") as file:
            head = file.read(4)
        return import_gguf.read(path) if head == b"GGUF" else import_nanogpt.read(path)
    except OSError as error:
        raise read_error(error, path=error.filename or path) from error


def write(found: Imported, out: Path, *, source: Path) -> None:
    """Writes the run: tokenizer, checkpoint, and a recipe that describes them."""
    stage = "pretrain" if found.base else "sft"
    kind = next(name for name, line in TOKENIZERS.items() if line.load().reads(found.tokenizer))
    rows = found.tensors[embedding_name(found.model)].shape[0]
    with torch.device("meta"):
        model = LanguageModel(found.model, rows)
    fill(model, found.tensors)
    if (size := kinds.read(found.tokenizer, source).vocab_size) != rows:
        raise MinitronError(f"the tokenizer has {size} tokens and the model {rows}", hint=ANOTHER_TOKENIZER)
    recipe = f"# imported from {source}\n" + write_recipe(recipe_of(found, out, kind), comments={})
    with atomic_folder(out) as work:
        layout = Layout(work)
        atomic_write(layout.tokenizer, found.tokenizer)
        info = {"stage": stage, "imported": str(source)}
        checkpoint.save(layout.stage(stage), model.eval(), step=0, info=info, name=IMPORTED)
        checkpoint.point(layout.stage(stage), "best", IMPORTED)
        for file in (work / f"{out.name}.toml", layout.stage(stage) / "config.toml"):
            atomic_write(file, recipe)
    if found.remark:
        say(f"import: {found.remark}")
    what = "continues text" if found.base else "answers in dialogues"
    say(f"import: {model.count_params() / 1e6:.2f}M parameters, {rows:,} tokens, {what} -> {out}")
    say(f"  talk to it: minitron chat {out}")
    say(f'  train it further: sft.init = "{out.as_posix()}" in a recipe')


def recipe_of(found: Imported, out: Path, kind: str) -> Config:
    """The run's recipe: the shape, the kind of tokenizer and, for a base model, `pretrain.init` set to this run itself."""
    config = Config(name=out.name, recipe=out / f"{out.name}.toml")
    changed = replace(config, model=found.model, tokenizer=replace(config.tokenizer, kind=kind))
    if not found.base:
        return changed
    return replace(changed, pretrain=PretrainConfig(init=out.as_posix()))


def fill(model: LanguageModel, tensors: dict[str, Tensor]) -> None:
    """Gives a model on the meta device its weights. Raises MinitronError if a name or shape does not fit, or a value is not finite."""
    wanted = {name: tuple(weight.shape) for name, weight in model.named_parameters()}
    check_names(wanted, {name: tuple(t.shape) for name, t in tensors.items()})
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise MinitronError(
                f"{name} holds a value that is not a finite number",
                hint="the file is damaged, or its training diverged",
            )
    model.to_empty(device="cpu")
    model.load_state_dict({name: t.float() for name, t in tensors.items()}, strict=False)
