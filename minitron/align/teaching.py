"""Few answers are learnt beside many that are known: the alignment loop with another loss.

- **learnt**: cross-entropy on answers that people wished for
- **unlearnt**: unlikelihood (Welleck et al., arXiv 1908.04319, eq. 4) of answers that are bad, where no better one is known
- **kept**: KL(reference || policy) at every token of replayed answers (distillation: Hinton et al., arXiv 1503.02531, with the model as
  it was for a teacher). Its gradient is 0 where nothing has changed, which that of cross-entropy on those answers is not. Few answers
  move at all, so a step looks at four times as many as it keeps, and keeps those that have moved most.

Knows nothing about where the answers come from.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from minitron.align.labelled import Material
from minitron.align.loop import MICRO_ROWS, Alignment
from minitron.align.preference import Example, WithReplay, deal, token_logits
from minitron.core import parallel
from minitron.core.console import say
from minitron.recipe.schema import FeedbackConfig
from minitron.train.loop import accumulate

LOOKED_AT = 4  # answers for each that is kept in a step
KINDS = LEARNT, UNLEARNT, KEPT = range(3)


def token_losses(logits: Tensor, targets: Tensor, *, kinds: Tensor, reference: Tensor) -> Tensor:
    """The loss of each token (T,) by its kind (T,), from logits (T, V), targets (T,), and the reference's logits at those that are
    kept, (K, V)."""
    log_probs = -F.cross_entropy(logits, targets, reduction="none")
    unlikelihood = -torch.log1p(-log_probs.exp().clamp(max=1 - 1e-6))
    losses = torch.where(kinds == UNLEARNT, unlikelihood, -log_probs)
    ours, theirs = logits[kinds == KEPT].log_softmax(-1), reference.log_softmax(-1)
    return losses.masked_scatter(kinds == KEPT, F.kl_div(ours, theirs, reduction="none", log_target=True).sum(-1))


class Teaching(Alignment):
    """A policy that learns labels and keeps the rest, on its way from the finished model."""

    shown = ("learnt", "kept")

    def teach(self, material: Material) -> None:
        """All steps, or what is left of them."""
        good = sum(e.label for e in material.examples[: material.labels])
        kept = len(material.examples) - material.labels
        say(
            f"{self.stage}: {good} answers to learn, {material.labels - good} to unlearn, {kept} to keep, counting wordings"
        )
        self.run(material, self.batches(material))

    def batches(self, material: Material) -> WithReplay:
        settings = self.settings
        assert isinstance(settings, FeedbackConfig)
        how = {"labelled": settings.batch_rows, "replayed": LOOKED_AT * settings.replay_rows, "seed": self.config.seed}
        return WithReplay(material.examples, labels=material.labels, **how)

    def gradients(self, numbers: list[int], material: Any) -> dict[str, float]:
        """Leaves gradients of the loss: each kind's mean over its tokens of the step, that of answers to keep times
        `Method.kept_weight`. Only those answers to keep that have moved most count."""
        examples = material.examples
        kept = [n for n in numbers if n >= material.labels]
        numbers = [n for n in numbers if n < material.labels] + self.moved(kept, examples)
        kind = {n: KEPT if n >= material.labels else LEARNT if examples[n].label else UNLEARNT for n in numbers}
        tokens = [max(1, sum(examples[n].length for n in numbers if kind[n] == k)) for k in KINDS]

        def part(some: list[int]) -> tuple[Tensor, Tensor]:
            lengths = torch.tensor([examples[n].length for n in some])
            kinds = torch.tensor([kind[n] for n in some]).repeat_interleave(lengths).to(self.model.device)
            logits, targets = token_logits(self.model, [examples[n] for n in some])
            reference = self.before_logits([examples[n] for n in some if kind[n] == KEPT], like=logits)
            losses = token_losses(logits, targets, kinds=kinds, reference=reference)
            means = torch.stack([losses[kinds == k].sum() / tokens[k] for k in KINDS])
            return means @ means.new_tensor([1.0, 1.0, self.method.kept_weight]), means.detach()

        micro = deal(examples, numbers, -(-len(numbers) // MICRO_ROWS))
        results = accumulate(self.model, [partial(part, some) for some in micro])
        learnt, unlearnt, moved = torch.stack([means for _, means in results]).sum(0).tolist()
        return {"loss": sum(loss for loss, _ in results), "learnt": learnt, "unlearnt": unlearnt, "kept": moved}

    def before_logits(self, examples: list[Example], *, like: Tensor) -> Tensor:
        """The reference's logits (T, V) of what counts in these examples."""
        with torch.no_grad():
            return token_logits(self.reference, examples)[0] if examples else like[:0]

    def moved(self, numbers: list[int], examples: list[Example]) -> list[int]:
        """One in `LOOKED_AT` of these answers: those that are farthest from the reference, by the KL of all their tokens (as online
        hard example mining picks by loss, arXiv 1604.03540)."""

        def work(part: list[int]) -> list[tuple[float, int]]:
            some = [examples[n] for n in part]
            with torch.no_grad():
                logits, targets = token_logits(self.model, some)
                kinds = torch.full_like(targets, KEPT)
                losses = token_losses(logits, targets, kinds=kinds, reference=self.before_logits(some, like=logits))
            sums = [tokens.sum().item() for tokens in torch.split(losses, [e.length for e in some])]
            return list(zip(sums, part, strict=True))

        parts = deal(examples, numbers, -(-len(numbers) // MICRO_ROWS))
        found = [one for some in parallel.parallel_map(work, parts, device=self.model.device) for one in some]
        return [n for _, n in sorted(found, reverse=True)[: len(numbers) // LOOKED_AT]]
