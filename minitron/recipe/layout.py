"""Where everything of a run lies: the one place that spells a path (docs/formats.md), and the names of the stages.

    runs/<name>/<stage>/     config.toml, log, stage.json and what the stage makes
    runs/<name>/report.html  the report card, beside report.json
    export/<name>/           the bundle: weights.bin, vocab.json, config.json
    dist/<name>/             programs and what one sends to friends

Knows nothing about what is in the files.
"""

from dataclasses import dataclass
from pathlib import Path

# In the order in which they run; `stages.declared` says what each of them is.
STAGES = ("data", "tokenizer", "pretrain", "sft", "reject", "kto", "feedback", "eval", "export", "binary")
TRAINING = ("pretrain", "sft")  # those that train on packed rows (`train.loop`)
WITH_MODEL = (*TRAINING, "kto", "feedback")  # those that end with a model


def pointed(stage_dir: Path, pointer: str) -> Path | None:
    """The checkpoint folder that `best` or `latest` in a stage's folder names, or None. A name that is damaged names no folder."""
    file = stage_dir / pointer
    return stage_dir / "checkpoints" / file.read_text("utf-8", errors="replace").strip() if file.is_file() else None


@dataclass(frozen=True)
class Layout:
    """Paths of the run in the folder `run`, such as runs/demo."""

    run: Path

    @property
    def owner(self) -> Path:
        """Which recipe the run belongs to: one line, its path."""
        return self.run / "recipe"

    @property
    def hashes(self) -> Path:
        """Remembered hashes of what the stages read and made."""
        return self.run / "hashes.json"

    @property
    def bundle(self) -> Path:
        """What the chat program embeds."""
        return self.run.parent.parent / "export" / self.run.name

    @property
    def dist(self) -> Path:
        """Programs with the bundle in them."""
        return self.run.parent.parent / "dist" / self.run.name

    def stage(self, stage: str) -> Path:
        """The folder of a stage."""
        return self.run / stage

    @property
    def tokenizer(self) -> Path:
        return self.run / "tokenizer" / "tokenizer.model"

    def dialogues(self, split: str) -> Path:
        """Dialogues of the split train, valid or probes."""
        return self.run / "data" / f"{split}.parquet"

    def parts(self, stage: str) -> Path:
        """The folder of those parts of large files that are read already, for a run that goes on where it was stopped."""
        return self.run / stage / "read"

    def packed(self, stage: str, split: str) -> Path:
        """The folder of packed rows that a stage trains on or validates with."""
        return self.run / stage / f"packed-{split}"

    @property
    def last_trained(self) -> tuple[str, Path] | None:
        """The last stage that has a finished model, and the folder of its checkpoint; None if no stage has one."""
        for stage in reversed(WITH_MODEL):
            if best := pointed(self.stage(stage), "best"):
                return stage, best
        return None

    def metrics(self, stage: str) -> Path:
        return self.run / stage / "metrics.jsonl"

    def stage_report(self, stage: str) -> Path:
        """What a stage did, for the report card."""
        return self.run / stage / "report.json"

    def checkpoint(self, stage: str, name: str) -> Path:
        return self.run / stage / "checkpoints" / name

    @property
    def cleaning(self) -> Path:
        """What pretrain.clean took out of the text, with samples."""
        return self.run / "pretrain" / "cleaning.json"

    @property
    def pairs(self) -> Path:
        """Rejected answers beside chosen ones, for kto."""
        return self.run / "reject" / "pairs.parquet"

    @property
    def apart(self) -> Path:
        """Answers that show another failure than their preset was meant to show."""
        return self.run / "reject" / "apart.parquet"

    def probes(self, stage: str) -> Path:
        """The probes that eval asked the model of a stage, and its answers."""
        return self.run / "eval" / f"probes-{stage}.jsonl"

    @property
    def card(self) -> Path:
        """The report card for programs."""
        return self.run / "report.json"

    @property
    def page(self) -> Path:
        """The report card for people."""
        return self.run / "report.html"

    @property
    def explained(self) -> Path:
        """The page that shows how the model was made and what it does, with the model inside (`minitron explain`)."""
        return self.run / "explain.html"

    @property
    def suite(self) -> Path:
        """The results of an examination that is not minitron's own (`minitron eval --suite`)."""
        return self.run / "suite.json"

    @property
    def comparison(self) -> Path:
        return self.run / "compare.json"

    @property
    def study_results(self) -> Path:
        """The figures of all cells of a study; each cell is a run in a folder beside it."""
        return self.run / "study" / "results.json"

    @property
    def study_page(self) -> Path:
        return self.run / "study" / "study.html"

    @property
    def labels(self) -> Path:
        """The labels that were given to answers in `minitron chat`."""
        return self.run / "labels.json"

    @property
    def chat_history(self) -> Path:
        return self.run / "chat.history"
