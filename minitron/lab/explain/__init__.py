"""`minitron explain`: one HTML file that shows how a model was made and what it does. Run: minitron explain recipes/demo.toml

    told.py        what the run's files say, as JSON
    dialogues.py   the training dialogues that the file carries, in which the page looks for the nearest ones
    assets/        the page: HTML, CSS and scripts, in addition to those of the chat page

The file contains the model and the chat program's engine (`program.html`), so the reader's browser computes tokens, probabilities
and attention. Knows nothing about how any of that is computed.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

from minitron.core.console import say
from minitron.core.files import atomic_write
from minitron.interop import bundle, model_card
from minitron.interop.about import About
from minitron.lab.explain import dialogues, told
from minitron.program import html, icon
from minitron.recipe.schema import Config
from minitron.stages import export
from minitron.train import calibrate

ASSETS = Path(__file__).parent / "assets"


def run(config: Config, out: Path | None = None) -> Path:
    """Writes the page (default: explain.html in the run's folder) and returns its path. What the page would say about a stage that has
    not run is left out. Raises MinitronError where no model is trained yet."""
    title = config.title
    dtype = config.export.dtype if config.export.dtype in ("q8", "q4") else "q8"
    about = About(
        title, dtype, config.export, config.name, "", base=config.base, icon=icon.png(config.export.icon, title=title)
    )
    model, tokenizer, about = export.shipped(config, about)
    if dtype == "q4":  # as export rounds it, so that the page computes what the program does
        about = replace(about, matrices=calibrate.round_q4(config, model))
    card = model_card.text(model, tokenizer, about)
    with tempfile.TemporaryDirectory() as folder:
        bundle.write(model, tokenizer, about, Path(folder))
        page = html.whole(
            Path(folder),
            html.describe(Path(folder)),
            folders=[ASSETS, html.PAGE, html.ENGINE],
            title=title,
            told={"minitron-told": told.of(config, card=card)},
            packed={"minitron-dialogues": dialogues.packed(config)},
        )
    out = out or config.layout.explained
    atomic_write(out, page)
    say(f"explain: {out} ({out.stat().st_size / 1e6:.1f} MB); open it in a browser, it needs no network")
    return out
