"""Write what Hugging Face's models attend to: attention.json, for the bundles that make_vectors.py wrote.

Run: python internal/model/testdata/make_attention.py      (needs torch and transformers 5)

Per bundle `ids`, and per layer [head][token][token], a row up to its own token; null for a layer without attention. The weights are those that "eager"
attention returns, to four digits.
"""

import json
import pathlib

import torch
from make_vectors import NAMES, TINY, reference

TOKENS = 18  # more than the window of stream and than a block of the kernels


def main():
    found = {}
    for seed, (name, shape) in enumerate(NAMES.items()):
        model = reference({**shape, **TINY}, seed=seed)
        ids = torch.randint(4, TINY["vocab_size"], (TOKENS,), generator=torch.Generator().manual_seed(100 + seed))
        seen = []
        hooks = [
            part.register_forward_hook(lambda _, __, out, seen=seen: seen.append(out[1]))
            for path, part in model.named_modules()
            if path.endswith((".self_attn", ".attn"))
        ]
        with torch.no_grad():
            model(ids[None])
        for hook in hooks:
            hook.remove()
        layers = iter(seen)
        kinds = shape.get("layers", ["attention"] * shape["n_layers"])
        found[name] = {
            "ids": ids.tolist(),
            "layers": [rows(next(layers)[0]) if kind in ("attention", "window") else None for kind in kinds],
        }
    lines = ",\n".join(f'"{name}":{json.dumps(told, separators=(",", ":"))}' for name, told in found.items())
    pathlib.Path(__file__).with_name("attention.json").write_text("{\n" + lines + "\n}\n")


def rows(weights):
    """[head][token][token], each row up to its own token; what lies behind it is 0."""
    assert not weights.triu(1).any()
    return [[[round(w, 4) for w in row[: t + 1]] for t, row in enumerate(head)] for head in weights.tolist()]


if __name__ == "__main__":
    main()
