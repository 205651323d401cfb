"""What ships after kto: the SFT model, or a blend of it with the trained one, chosen by their answers.

The choice never depends on kto's loss or accuracy, which are best where a model is wrecked. A blend may ship if its held-out
loss, probe accuracy and distinct-2 are within the limits. Of these blends the one nearest to the trained weights is tested, and
ships if fewer of its answers fail, beyond chance. Only one blend is ever tested against chance: the best of several noisy
figures would look better than it is. Knows nothing about how the weights were trained.
"""

import copy
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from minitron.align.method import Method
from minitron.core.console import say
from minitron.evaluate.examiner import Examiner
from minitron.evaluate.failures import KINDS
from minitron.evaluate.intervals import change
from minitron.evaluate.verdict import IMPROVED, NO_CHANGE, REFUSED, Candidate, Verdict
from minitron.model.language_model import LanguageModel
from minitron.recipe.alignment import AlignConfig


def blended(model: LanguageModel, trained: dict[str, Tensor], share: float) -> LanguageModel:
    """The model moved by a share of the way to the trained weights (as in WiSE-FT, arXiv 2109.01903)."""
    blend = copy.deepcopy(model)
    with torch.no_grad():
        for name, weight in blend.named_parameters():
            weight.lerp_(trained[name].to(weight.dtype), share)
    return blend


def measured(
    examiner: Examiner, model: LanguageModel, *, blend: float, enough: Callable[[Candidate], bool] = lambda now: True
) -> Candidate:
    """The figures that decide whether a model may ship, and whether it is better. Quick measurements come first; as soon as
    `enough` rejects what is known so far, the rest is not measured."""
    held_out = examiner.loss(model)
    now = Candidate(blend, held_out.loss if held_out else None, None, None, None)
    if not enough(now):
        return now
    probes = examiner.probes(model)
    now = replace(now, probes=probes.accuracy if probes else None)
    if not enough(now) or not (answers := examiner.answers(model)):
        return now
    (found,) = examiner.failures([answers])
    return replace(now, failures=found["all"].rates, distinct_2=found["chat"].distinct_2, answers=answers)


def together(examiner: Examiner, before: Candidate, now: Candidate) -> tuple[Candidate, Candidate]:
    """Both with the failures of their answers judged together: the same texts are canned for both."""
    if not before.answers or not now.answers:
        return before, now
    found = examiner.failures([before.answers, now.answers])
    one, two = (replace(row, failures=f["all"].rates) for row, f in zip((before, now), found, strict=True))
    return one, two


def objection(now: Candidate, before: Candidate, *, settings: AlignConfig, method: Method) -> str:
    """Why a model must not ship; empty if it may."""
    if before.loss is not None and now.loss is not None and not now.loss <= before.loss * (1 + settings.max_loss_rise):
        return f"held-out loss {now.loss:.4f}, before {before.loss:.4f}"
    if before.probes and now.probes and now.probes.value < before.probes.value - settings.max_probe_drop:
        return f"probe accuracy {now.probes.value:.1%}, before {before.probes.value:.1%}"
    fewest = (before.distinct_2 or 0.0) * (1 - method.max_distinct_drop)
    if now.distinct_2 is not None and now.distinct_2 < fewest:
        return f"distinct-2 {now.distinct_2:.3f}, before {before.distinct_2:.3f}"
    # where labels decide, they must not be bought with more failures
    if now.labels and now.failures and before.failures:
        failing, then = now.failures.failing, before.failures.failing
        if change(then, failing)[0] > 0:
            return f"failing answers {failing.value:.1%}, before {then.value:.1%}"
    return ""


def choose(
    examiner: Examiner,
    sft: LanguageModel,
    trained: dict[str, Tensor] | None,
    *,
    why: str,
    settings: AlignConfig,
    method: Method,
    measure: Callable[..., Candidate] = measured,
) -> tuple[LanguageModel, Verdict]:
    """The model that ships, and the verdict. `trained` are the weights that passed the guards, or None if none did; `why` is then
    the last breach."""
    table = [measure(examiner, sft, blend=0.0)]

    def may_ship(now: Candidate) -> bool:
        return settings.force or not objection(now, table[0], settings=settings, method=method)

    for share in sorted(method.blends, reverse=True):
        if trained is None:
            break
        now = measure(examiner, blended(sft, trained, share), blend=share, enough=may_ship)
        table[0], now = together(examiner, table[0], now)
        table.append(replace(now, objection=objection(now, table[0], settings=settings, method=method)))
        if not table[-1].objection:
            break
    verdict = decide(table, why=why, force=settings.force)
    blend = verdict.shipped.blend
    return (blended(sft, trained, blend) if trained and blend else sft), verdict


def decide(table: list[Candidate], *, why: str, force: bool) -> Verdict:
    """The verdict on a table of figures: the SFT model's, then those of the blends that were measured, nearest to the trained
    weights first. Only the last one may be without an objection."""
    before, best = table[0], table[-1]
    if best is before:
        outcome = REFUSED
    elif best.objection:
        outcome, why = REFUSED, "; ".join(f"blend {row.blend:g}: {row.objection}" for row in table[1:])
    elif best.labels and before.labels:
        now, then = best.labels, before.labels
        outcome = IMPROVED if now.value > then.value else NO_CHANGE
        why = f"answers as wished {then.value:.1%} -> {now.value:.1%} of {now.count}"
    elif not (before.failures and best.failures):
        outcome, why = NO_CHANGE, "there is no prompt to compare answers on"
    else:
        failing, now = before.failures.failing, best.failures.failing
        low, high = change(failing, now)
        outcome = IMPROVED if high < 0 else NO_CHANGE
        fewer = f"failing answers {failing.value:.1%} -> {now.value:.1%}"
        why = f"{fewer} (95%: {100 * low:+.1f} to {100 * high:+.1f} points)"
    shipped = best if outcome == IMPROVED else before
    if outcome != IMPROVED and force and best is not before:
        shipped, why = table[1], f"forced; {why}"
    return Verdict(outcome, why, shipped, table)


def tell(verdict: Verdict, *, stage: str = "kto", before: str = "the SFT model") -> None:
    """Prints the table and the outcome. `before` names the model that the stage began with."""
    for row in verdict.table:
        figures = [f"answers as wished {row.labels.value:.1%} of {row.labels.count}"] if row.labels else []
        figures += [] if row.loss is None else [f"held-out loss {row.loss:.4f}"]
        figures += [f"probes {row.probes.value:.1%}"] if row.probes else []
        if row.failures:
            rates = row.failures.values()
            kinds = ", ".join(f"{kind} {rates[kind]:.1%}" for kind in KINDS)
            figures.append(f"failing {rates['failing']:.1%} ({kinds}), distinct-2 {row.distinct_2:.3f}")
        figures += [f"may not ship: {row.objection}"] if row.objection else []
        name = f"blend {row.blend:g}" if row.blend else before.removeprefix("the ")
        say(f"{stage}: {name}: " + ", ".join(figures))
    shipped = verdict.shipped.blend
    blend = f"blend {shipped:g} of step {verdict.shipped_step}" if shipped else before
    say(f"{stage}: {verdict.outcome}: {verdict.why}; {blend} ships")
