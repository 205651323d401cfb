"""The options of sampling and of alignment with labels: [reject], [kto] and [feedback], as dataclasses.

Knows nothing about the other sections; `schema.Config` is the whole recipe.
"""

from dataclasses import dataclass, field

from minitron.recipe.option import option
from minitron.recipe.training import LoraConfig


@dataclass(frozen=True)
class Sampling:
    """How to draw tokens."""

    temperature: float = option(1.0, "softmax temperature; 0: always the likeliest token", low=0.0, high=100.0)
    top_k: int = option(0, "keep the k likeliest tokens; 0: all", low=0, high=1 << 20)
    top_p: float = option(1.0, "keep the likeliest tokens until their probabilities sum to this", above=0.0, high=1.0)
    min_p: float = option(
        0.0, "keep tokens with at least this fraction of the likeliest token's probability", low=0.0, high=1.0
    )
    repeat_penalty: float = option(
        1.0,
        "lowers the logits of tokens already in the answer: positive ones are divided by it, negative ones multiplied; 1: off",
        low=0.01,
        high=100.0,
    )
    max_tokens: int = option(200, "longest answer, in tokens", low=1, high=1 << 20)


@dataclass(frozen=True)
class Preset(Sampling):
    """How to make a model show a failure."""

    failure: str = option(
        "",
        "the failure it is meant to provoke; answers with another failure are kept apart, not trained on; empty: any failure",
        choices=("", "loop", "canned", "runaway"),
    )

    def sampling(self, max_tokens: int) -> Sampling:
        return Sampling(self.temperature, self.top_k, self.top_p, self.min_p, self.repeat_penalty, max_tokens)


# The reference article's three ways to make a model show its failures (its lengths were 400, 80 and 500).
PRESETS = {
    "loops": Preset(temperature=1.2, max_tokens=400, failure="loop"),
    "canned": Preset(temperature=0.4, repeat_penalty=1.15, max_tokens=80, failure="canned"),
    "tutorial": Preset(temperature=0.7, repeat_penalty=1.10, max_tokens=500, failure="runaway"),
}


@dataclass(frozen=True)
class RejectConfig:
    """Collects the model's own failures, sampled with presets, and recorded pairs; left out of the recipe, the stage does not run."""

    prompts: int = option(1000, "training prompts answered with each preset; 0: use only `files`", low=0)
    batch_rows: int = option(64, "prompts answered at once", low=1)
    max_tokens: int = option(0, "longest answer in tokens, for all presets; 0: each preset's own max_tokens", low=0)
    presets: dict[str, Preset] = option(
        PRESETS, "tables [reject.presets.NAME], each a way to sample; they replace the three default ones"
    )
    chosen: str = option(
        "data",
        "data: the recorded answer; model: of `best_of` answers by the model, the one without a failure that is nearest in length "
        "to the rejected one (if there is none, the recorded one), so that length and style do not tell them apart",
        choices=("data", "model"),
    )
    best_of: int = option(4, "answers to choose from if `chosen = 'model'`", low=1)
    files: list[str] = option(
        [],
        "recorded labels, as files, globs or folders: columns chosen/rejected, or rows prompt/completion/label, or dialogues with "
        "scores (docs/data.md)",
    )
    chosen_if: list[str] = option(
        [], "rules for dialogues with scores (read as [data] says): chosen if all of them hold, such as 'score >= 8'"
    )
    rejected_if: list[str] = option(
        [], "the same for rejected, such as 'vote == -1'; a dialogue without scores is neither"
    )


@dataclass(frozen=True)
class GuardsConfig:
    """Whether kto or feedback goes back to its last good checkpoint when a guard is breached. The limits: minitron/align/guards.py."""

    on: bool = option(
        True,
        "false: guards only warn, and training never goes back or stops; what ships is still checked, unless `force` is set",
    )


@dataclass(frozen=True)
class AlignConfig(LoraConfig):
    """What kto and feedback have in common."""

    steps: int = option(200, "optimizer steps", low=1)
    batch_rows: int = option(16, "completions per step, chosen and rejected in proportion to their numbers", low=2)
    lr: float = option(2e-6, "learning rate, constant after the warm-up", low=0.0)
    warmup_steps: int = option(20, "steps of linear warm-up", low=0)
    eval_every_steps: int = option(
        20, "steps between checks by the guards (a state that passes is saved as a checkpoint)", low=1
    )
    max_loss_rise: float = option(
        0.01,
        "largest relative rise in held-out loss, over the model before this stage, with which a model may ship",
        low=0.0,
    )
    max_probe_drop: float = option(
        0.01, "largest drop in probe accuracy with which a model may ship (0.01: one percentage point)", low=0.0
    )
    force: bool = option(
        False,
        "if no blend is improved, ship the last weights that passed the guards, whatever the checks say; if none passed, the model "
        "before this stage ships",
    )
    guards: GuardsConfig = field(default_factory=GuardsConfig)


@dataclass(frozen=True)
class KtoConfig(AlignConfig):
    """Alignment with KTO on the pairs of reject (docs/kto.md); left out of the recipe, the stage does not run."""

    beta: float = option(
        2.0,
        "KTO's beta, the factor on log-ratios; from 2 to 10, since these are means over a completion's tokens",
        low=0.0,
    )


@dataclass(frozen=True)
class FeedbackConfig(AlignConfig):
    """Training of the finished model on labels that people gave (docs/loop.md). Left out, the stage still runs if there are labels."""

    file: str = option(
        "",
        "the file of labels; empty: labels/<recipe>.jsonl beside the recipe, where `minitron labels add RECIPE FILE` puts them",
        decides=False,
    )
    steps: int = option(200, "optimizer steps", low=1)
    batch_rows: int = option(
        8, "labelled prompts per step, in one wording each, with all their answers to learn or to unlearn", low=1
    )
    replay_rows: int = option(
        64, "recorded answers of the training data added to each step, so that the model forgets little; 0: none", low=0
    )
    lr: float = option(3e-4, "AdamW's peak learning rate; after the warm-up it falls to 0", low=0.0)
    warmup_steps: int = option(5, "steps of linear warm-up", low=0)
    eval_every_steps: int = option(
        100, "steps between checks by the guards (a state that passes is saved as a checkpoint)", low=1
    )
