"""The cloud of embeddings for people: pictures, plots, and one small animated page that loads nothing. Run: minitron embeddings runs/x

Knows nothing about how it was measured.
"""

import base64
import json
import math
from pathlib import Path

import numpy as np

from minitron.core.console import say, tell
from minitron.core.files import atomic_write
from minitron.evaluate.markup import Html, document, el
from minitron.evaluate.plots import Series, plot
from minitron.evaluate.style import STYLE
from minitron.lab import cloud
from minitron.lab.cloud import Cloud
from minitron.recipe.schema import Config
from minitron.recipe.target import load_target

SHOWN_TOKENS, SHOWN_FRAMES, PICTURES = 2000, 60, 4
ANIMATION = """
const cloud = JSON.parse(document.getElementById('cloud').textContent);
const raw = Uint8Array.from(atob(cloud.places), c => c.charCodeAt(0));
const places = new Int16Array(raw.buffer), canvas = document.querySelector('canvas'), pen = canvas.getContext('2d');
const slider = document.querySelector('input'), button = document.querySelector('button'), told = document.querySelector('output');
function draw() {
  const frame = +slider.value, style = getComputedStyle(document.body), size = canvas.width;
  pen.clearRect(0, 0, size, size);
  for (let i = 0; i < cloud.tokens; i++) {
    const at = 2 * (frame * cloud.tokens + i);
    pen.fillStyle = style.getPropertyValue(cloud.dead[i] ? '--c1' : '--c0');
    pen.fillRect(size / 2 * (1 + places[at] / 32767), size / 2 * (1 - places[at + 1] / 32767), 2, 2);
  }
  told.textContent = 'step ' + cloud.steps[frame].toLocaleString();
}
let timer = 0;
button.onclick = () => {
  if (timer) { clearInterval(timer); timer = 0; button.textContent = 'Play'; return; }
  button.textContent = 'Stop';
  timer = setInterval(() => { slider.value = (+slider.value + 1) % cloud.steps.length; draw(); }, 150);
};
slider.oninput = draw;
matchMedia('(prefers-color-scheme: dark)').onchange = draw;
draw();
"""


def run(
    name: str,
    *,
    stage: str | None = None,
    head: bool = False,
    json_file: Path | None = None,
    html: Path | None = None,
) -> None:
    """Prints the figures and writes the page. Raises MinitronError where the run has no snapshots."""
    config = load_target(name, [], command="embeddings")
    found = cloud.look(config, stage=stage, head=head)
    for line in lines(found):
        tell(line)
    out = html or config.layout.stage(found.stage) / "embeddings.html"
    atomic_write(out, page(config, found))
    if json_file:
        atomic_write(json_file, json.dumps(figures(found), indent=1))
    for path in filter(None, (out, json_file)):
        say(f"embeddings: written to {path}")


def lines(found: Cloud) -> list[str]:
    """The figures in words."""
    told = [f"{len(found.steps)} snapshots from step {found.steps[0]:,} to {found.steps[-1]:,}"]
    for group in found.groups:
        told.append(
            f"{group.count:,} {group.name} tokens: radius {group.radius[0]:.4g} -> {group.radius[-1]:.4g}, norm {group.norm[0]:.4g} -> "
            f"{group.norm[-1]:.4g}, {group.speed[0]:.3g} -> {group.speed[-1]:.3g} per step, of one direction {group.cosine[-1]:.2f}"
        )
    if found.dead.any():
        at = "do not stop moving" if found.frozen_at is None else f"are frozen from step {found.frozen_at:,} on"
        told.append(f"among themselves the dead {at} (below {cloud.FROZEN:.0%} of their fastest)")
    else:
        told.append("every token stands in the training text: none is dead")
    grid = "lie on the bf16 grid" if found.lattice > 0.99 else "lie on no bf16 grid"
    told.append(f"the embeddings {grid}: {found.lattice:.4%} of their values are bf16 numbers")
    return told


def figures(found: Cloud) -> dict:
    """The figures for other programs, to be written as JSON."""
    return {
        "stage": found.stage,
        "steps": found.steps,
        "groups": {group.name: vars(group) for group in found.groups},
        "drift": found.drift,
        "frozen_at": found.frozen_at,
        "lattice": found.lattice,
    }


def page(config: Config, found: Cloud) -> str:
    """Animation, pictures and plots."""
    title = f"Embeddings of {config.name}, {found.stage}"
    controls = el(
        "p",
        el("button", "Play"),
        el("input", type="range", min=0, max=len(_frames(found)) - 1, value=0),
        el("output", ""),
    )
    body = el(
        "main",
        el("h1", title),
        [el("p", line) for line in lines(found)],
        el("h2", "The cloud"),
        el(
            "p",
            "In the plane of the last embeddings' first two principal components; live tokens and dead ones have two colours.",
        ),
        el("canvas", width=560, height=560),
        controls,
        el("div", pictures(found), class_="plots"),
        el("h2", "How it moves"),
        el("div", plots(found), class_="plots"),
        el("script", Html(json.dumps(animated(found))), type="application/json", id="cloud"),
        el("script", Html(ANIMATION)),
    )
    return document(title, body, style=STYLE)


def _frames(found: Cloud) -> list[int]:
    """Which snapshots are shown: evenly spread, the first and the last among them."""
    return np.unique(np.linspace(0, len(found.steps) - 1, SHOWN_FRAMES).round().astype(int)).tolist()


def _tokens(found: Cloud) -> np.ndarray:
    """Which tokens are shown: all of them, or a random sample of SHOWN_TOKENS if there are more."""
    everyone = np.arange(len(found.counts))
    return everyone if len(everyone) <= SHOWN_TOKENS else np.random.default_rng(1).permutation(everyone)[:SHOWN_TOKENS]


def animated(found: Cloud) -> dict:
    """What the script draws: the tokens' places, frame by frame, as 16-bit integers scaled so that the largest coordinate is ±32767."""
    frames, tokens = _frames(found), np.sort(_tokens(found))
    places = found.places[frames][:, tokens]
    scaled = np.rint(places / (np.abs(places).max() or 1) * 32767).astype("<i2")
    return {
        "steps": [found.steps[at] for at in frames],
        "tokens": len(tokens),
        "dead": found.dead[tokens].astype(int).tolist(),
        "places": base64.b64encode(scaled.tobytes()).decode(),
    }


def pictures(found: Cloud) -> list[Html]:
    """The cloud at a few steps, for print and for readers without scripts."""
    tokens, drawn = _tokens(found), []
    for at in np.unique(np.linspace(0, len(found.steps) - 1, PICTURES).round().astype(int)):
        series = [
            Series(
                name, [(float(x), float(y)) for x, y in found.places[at][[t for t in tokens if found.dead[t] == dead]]]
            )
            for name, dead in (("live", False), ("dead", True))
        ]
        drawn.append(
            plot(f"Step {found.steps[at]:,}", series, unit="second component", x="first component", points=True)
        )
    return [figure for figure in drawn if figure]


def plots(found: Cloud) -> list[Html]:
    """Plots of speed, radius and length over the steps, and of length by frequency at the last snapshot."""

    def over_steps(title: str, unit: str, name: str, steps: list[int]) -> Html | None:
        series = [Series(g.name, list(zip(steps, getattr(g, name), strict=True)), dots=True) for g in found.groups]
        return plot(title, series, unit=unit)

    by_count = [(math.log10(c + 1), float(n)) for c, n in zip(found.counts.tolist(), found.norms, strict=True)]
    drawn = [
        over_steps("Distance per step, in the cloud's frame", "distance", "speed", found.steps[1:]),
        over_steps("Distance per step, in the frame of the live or the dead", "distance", "inner", found.steps[1:]),
        over_steps("Distance from the centre", "median", "radius", found.steps),
        over_steps("Length", "median", "norm", found.steps),
        plot(
            "How far the centre moves per step",
            [Series("centre", list(zip(found.steps[1:], found.drift, strict=True)), dots=True)],
            unit="distance",
        ),
        plot(
            "Length by frequency", [Series("tokens", by_count)], unit="length", x="log10 of the count + 1", points=True
        ),
    ]
    return [figure for figure in drawn if figure]
