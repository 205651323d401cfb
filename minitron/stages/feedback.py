"""Teaches the model what people said about its answers: fixes and good answers are learnt, the others are unlearnt.
Run: minitron feedback recipes/demo.toml.

Reads labels/<recipe>.jsonl, data/ and kto/best (or sft/best, if the recipe has no kto). It trains that model further on the labels
and, to keep what it can do, on answers of the training data. Writes feedback/checkpoints, feedback/best (the blend that ships, or the
model as it was if no blend may ship) and feedback/report.json. Knows nothing about where the labels come from.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from minitron.align import labelled, selection
from minitron.align.guards import LIMITS, Limits
from minitron.align.labelled import Material, Wish
from minitron.align.method import Method
from minitron.align.prompts import choose_prompts
from minitron.align.shipping import ship
from minitron.align.teaching import Teaching
from minitron.core.console import say, warn
from minitron.core.device import pick_device
from minitron.core.errors import MinitronError
from minitron.data import labels
from minitron.evaluate.examiner import Examiner
from minitron.evaluate.verdict import Candidate
from minitron.model.language_model import LanguageModel
from minitron.recipe.schema import Config
from minitron.tokenizer import kinds
from minitron.tokenizer.base import Tokenizer
from minitron.train import checkpoint

# Wide limits during training: held-out loss and probes may get much worse on the way, because replay repairs them only at the end,
# when the learning rate falls to 0. What ships keeps to `feedback.max_loss_rise` and `feedback.max_probe_drop` all the same.
# Figures: docs/loop.md.
ON_THE_WAY = {"loss": Limits(0.5, 2.0), "kl": Limits(0.5, 2.0), "probes": Limits(-0.03, -0.1)}
# Blends lie close together: here a step of a tenth makes a difference to how many wishes are granted and how much is forgotten.
BLENDS = (0.25, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
METHOD = Method(optimizer="adamw", decay=True, kept_weight=6.0, limits=LIMITS | ON_THE_WAY, blends=BLENDS)


def run(config: Config, *, method: Method = METHOD) -> None:
    teaching, wishes = taught(config, method=method)
    finish(teaching, labelled.asked(wishes, teaching.examiner.tokenizer, context=config.model.context))


def taught(config: Config, *, method: Method) -> tuple[Teaching, list[Wish]]:
    """Trains for all steps. Returns the finished `Teaching`, and what people wish for. Raises MinitronError where no label fits the
    context."""
    settings, tokenizer = config.feedback, kinds.load(config.layout.tokenizer)
    wishes = read(config, tokenizer)
    replay = []
    if settings.replay_rows:
        count = settings.steps * settings.replay_rows
        replay = labelled.without_contradictions(
            choose_prompts(config, tokenizer, count=count, seed=config.seed), wishes
        )
    material = Material.of(wishes, replay, tokenizer, context=config.model.context, method=method)
    if not material.labels:
        raise MinitronError(f"no label of {config.labels_file} fits the context", hint=config.longer)
    teaching = begin(config, tokenizer, wishes, method=method)
    teaching.teach(material)
    return teaching, wishes


def read(config: Config, tokenizer: Tokenizer) -> list[Wish]:
    """The labels, grouped by prompt. Raises MinitronError where none is of use."""
    dropped: Counter[str] = Counter()
    said = labels.chosen_and_rejected(labels.load(config.labels_file), dropped)
    wishes, unfit = labelled.wishes_of(said, tokenizer, context=config.model.context)
    for reason, count in dropped.items():
        warn(f"feedback: {count} labelled answers left out: {reason}")
    if unfit:
        warn(f"feedback: {unfit} labelled prompts left out: too long for the context")
    if not wishes:
        hint = "see minitron labels show; or move that file away, to go without"
        raise MinitronError(f"{config.labels_file} holds no label that is of use", hint=hint)
    return wishes


def begin(config: Config, tokenizer: Tokenizer, wishes: list[Wish], *, method: Method) -> Teaching:
    """The finished model as policy and reference, with an examiner. Its prompts and probes are not those of eval, and it leaves out
    probes and held-out dialogues that contradict the labels."""
    folder = checkpoint.finished(config.layout.stage(config.finished), config.finished)
    model, _ = checkpoint.load_model(folder, device=pick_device(config.device))
    examiner = Examiner(config, tokenizer, spare=True, title="feedback", skip=labelled.against(wishes))
    agreeing = [probe for probe in examiner.questions if not labelled.contradicts(wishes, probe["check"])]
    if left := len(examiner.questions) - len(agreeing):
        say(f"feedback: {left} of {len(examiner.questions)} probes contradict the labels and are left out")
    examiner.questions = agreeing
    return Teaching(config, model, examiner, method=method)


def finish(alignment: Teaching, asked: list[Wish]) -> None:
    """Chooses what ships by the answers to labelled prompts in wordings that training did not see, points `best` at it, and says and
    records why."""
    examiner, config = alignment.examiner, alignment.config

    def measure(
        examiner: Examiner,
        model: LanguageModel,
        *,
        blend: float,
        enough: Callable[[Candidate], bool] = lambda now: True,
    ) -> Candidate:
        now = selection.measured(examiner, model, blend=blend, enough=enough)
        if not enough(now):
            return now
        how = {"max_tokens": config.eval.max_tokens, "batch_rows": config.eval.batch_rows, "title": "feedback: labels"}
        return replace(now, labels=labelled.granted(model, examiner.tokenizer, asked, **how))

    model, verdict = selection.choose(
        examiner,
        alignment.reference,
        alignment.trained(),
        why=alignment.state.why,
        settings=config.feedback,
        method=alignment.method,
        measure=measure,
    )
    ship(alignment, model, verdict, told_apart_by={}, before=f"the model of {config.finished}")
