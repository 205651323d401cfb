"""The alignment loop with another loss: a few answers are learnt while many known ones are kept.

- **learnt**: cross-entropy on answers that people wished for
- **unlearnt**: unlikelihood (Welleck et al., arXiv 1908.04319, eq. 4) of answers that are bad, where no better one is known
- **kept**: cross-entropy on recorded answers of the training data (rehearsal: Robins, "Catastrophic forgetting, rehearsal and
  pseudorehearsal", 1995), which repeat what the model was taught before. docs/loop.md compares this with other ways.

Knows nothing about where the answers come from.
"""

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from minitron.align.labelled import Material
from minitron.align.loop import MICRO_ROWS, Alignment
from minitron.align.preference import WithReplay, deal, token_logits
from minitron.core.console import say
from minitron.recipe.alignment import FeedbackConfig
from minitron.train.passes import accumulate

KINDS = LEARNT, UNLEARNT, KEPT = range(3)


def token_losses(logits: Tensor, targets: Tensor, *, kinds: Tensor) -> Tensor:
    """The loss of each token (T,), from logits (T, V), targets (T,) and the kind of each token (T,)."""
    losses = F.cross_entropy(logits, targets, reduction="none")
    if len(bad := (kinds == UNLEARNT).nonzero().squeeze(1)):
        # -log(1 - p) from the logits, since 1 - p of a token that is nearly certain is 0 in floating point
        whole = logits[bad]
        others = whole.scatter(1, targets[bad, None], float("-inf"))
        losses = losses.index_copy(0, bad, whole.logsumexp(1) - others.logsumexp(1))
    return losses


class Teaching(Alignment[Material]):
    """A policy that starts as the finished model, learns the labels and keeps the rest."""

    stage, shown = "feedback", ("learnt", "kept")

    def teach(self, material: Material) -> None:
        """Trains for all steps that are left."""
        good = sum(e.label for e in material.examples[: material.labels])
        kept = len(material.examples) - material.labels
        say(
            f"{self.stage}: {good} answers to learn, {material.labels - good} to unlearn, {kept} to keep, counting wordings"
        )
        self.run(material, self.batches(material))

    def batches(self, material: Material) -> WithReplay:
        settings = self.settings
        assert isinstance(settings, FeedbackConfig)
        how = {"labelled": settings.batch_rows, "replayed": settings.replay_rows, "seed": self.config.seed}
        return WithReplay(material.examples, labels=material.labels, **how)

    def gradients(self, numbers: list[int], material: Material) -> dict[str, float]:
        """Adds the gradient of the loss to `.grad`. The loss is the sum of each kind's mean over its tokens of this step, with that
        of answers to keep weighted by `Method.kept_weight`. Returns the figures for metrics.jsonl."""
        examples = material.examples
        kind = {n: KEPT if n >= material.labels else LEARNT if examples[n].label else UNLEARNT for n in numbers}
        tokens = [max(1, sum(examples[n].length for n in numbers if kind[n] == k)) for k in KINDS]

        def part(some: list[int]) -> tuple[Tensor, Tensor]:
            lengths = torch.tensor([examples[n].length for n in some])
            kinds = torch.tensor([kind[n] for n in some]).repeat_interleave(lengths).to(self.model.device)
            losses = token_losses(*token_logits(self.model, [examples[n] for n in some]), kinds=kinds)
            means = torch.stack([losses[kinds == k].sum() / tokens[k] for k in KINDS])
            return means @ means.new_tensor([1.0, 1.0, self.method.kept_weight]), means.detach()

        micro = deal(examples, numbers, -(-len(numbers) // MICRO_ROWS))
        results = accumulate(self.model, [partial(part, some) for some in micro])
        learnt, unlearnt, kept = torch.stack([means for _, means in results]).sum(0).tolist()
        return {"loss": sum(loss for loss, _ in results), "learnt": learnt, "unlearnt": unlearnt, "kept": kept}
