"""What ships after kto: the SFT model, or a blend of it with the trained one, chosen by what they answer.

Never by the loss or the accuracy of kto, which are best where a model is wrecked. A blend may ship if its held-out loss,
probe accuracy and distinct-2 are within the recipe's limits; the one that moves farthest of these is looked at, and it does
ship if fewer of its answers fail, beyond chance. Only one blend is ever tested against chance: the best of several noisy
figures would look better than it is. Knows nothing about how the weights were trained.
"""

import copy

import torch
from torch import Tensor

from minitron.core.console import say
from minitron.evaluate import failures
from minitron.evaluate.examiner import Examiner
from minitron.evaluate.intervals import change_interval
from minitron.model.language_model import LanguageModel
from minitron.recipe.schema import KtoConfig


def blended(model: LanguageModel, trained: dict[str, Tensor], share: float) -> LanguageModel:
    """The model moved by a share of the way to the trained weights (as in WiSE-FT, arXiv 2109.01903)."""
    blend = copy.deepcopy(model)
    with torch.no_grad():
        for name, weight in blend.named_parameters():
            weight.lerp_(trained[name].to(weight.dtype), share)
    return blend


def measured(examiner: Examiner, model: LanguageModel) -> dict:
    """What decides whether a model may ship, and whether it is better."""
    rates, probes = examiner.failures(model), examiner.probes(model)
    return {
        "loss": examiner.loss(model)["loss"],
        "probes": probes.get("accuracy"),
        "answers": rates["all"]["answers"] if rates else 0,
        "distinct_2": rates["chat"]["distinct_2"] if rates else None,
        **{kind: rates["all"][kind] if rates else None for kind in ("failing", *failures.KINDS)},
    }


def objection(now: dict, before: dict, settings: KtoConfig) -> str:
    """Why a model must not ship, or nothing."""
    if before["loss"] is not None and not now["loss"] <= before["loss"] * (1 + settings.max_loss_rise):
        return f"held-out loss {now['loss']:.4f}, before {before['loss']:.4f}"
    if before["probes"] is not None and now["probes"] < before["probes"] - settings.max_probe_drop:
        return f"probe accuracy {now['probes']:.1%}, before {before['probes']:.1%}"
    if before["distinct_2"] and now["distinct_2"] < before["distinct_2"] * (1 - settings.max_distinct_drop):
        return f"distinct-2 {now['distinct_2']:.3f}, before {before['distinct_2']:.3f}"
    return ""


def choose(
    examiner: Examiner, sft: LanguageModel, trained: dict[str, Tensor] | None, *, why: str, settings: KtoConfig
) -> tuple[LanguageModel, dict]:
    """The model that ships, and a report. `trained` are the weights that passed the guards, None where none did and
    `why` says what the last breach was.

    Outcomes: improved: fewer answers fail than the SFT model's, beyond chance; no change: not so; refused: no blend may ship.
    """
    before = measured(examiner, sft)
    table = [{"blend": 0.0, "objection": "", **before}]
    for share in sorted(settings.blends, reverse=True) if trained else ():
        now = measured(examiner, blended(sft, trained, share))
        table.append({"blend": share, "objection": objection(now, before, settings), **now})
        if not table[-1]["objection"]:
            break
    best = table[-1]
    if not trained:
        outcome = "refused"
    elif best["objection"]:
        outcome, why = "refused", "; ".join(f"blend {row['blend']:g}: {row['objection']}" for row in table[1:])
    elif not before["answers"]:
        outcome, why = "no change", "there is no prompt to compare answers on"
    else:
        low, high = change_interval(before["failing"], best["failing"], before["answers"], best["answers"])
        outcome = "improved" if high < 0 else "no change"
        fewer = f"failing answers {before['failing']:.1%} -> {best['failing']:.1%}"
        why = f"{fewer} (95%: {100 * low:+.1f} to {100 * high:+.1f} points)"
    if outcome != "improved" and settings.force and trained:
        best, why = table[1], f"forced; {why}"
    elif outcome != "improved":
        best = table[0]
    report = {
        "outcome": outcome,
        "why": why,
        "shipped_blend": best["blend"],
        "held_out_loss_before": before["loss"],
        "held_out_loss": best["loss"],
        "table": table,
    }
    return blended(sft, trained, best["blend"]) if best["blend"] else sft, report


def tell(report: dict) -> None:
    """The table and the outcome."""
    for row in report["table"]:
        figures = [] if row["loss"] is None else [f"held-out loss {row['loss']:.4f}"]
        figures += [] if row["probes"] is None else [f"probes {row['probes']:.1%}"]
        if row["answers"]:
            kinds = ", ".join(f"{kind} {row[kind]:.1%}" for kind in failures.KINDS)
            figures.append(f"failing {row['failing']:.1%} ({kinds}), distinct-2 {row['distinct_2']:.3f}")
        figures += [f"may not ship: {row['objection']}"] if row["objection"] else []
        name = f"blend {row['blend']:g}" if row["blend"] else "SFT model"
        say(f"kto: {name}: " + ", ".join(figures))
    blend = f"blend {report['shipped_blend']:g} of step {report['shipped_step']}"
    say(f"kto: {report['outcome']}: {report['why']}; {blend if report['shipped_blend'] else 'the SFT model'} ships")
