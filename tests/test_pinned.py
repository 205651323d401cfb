"""A seed gives the same model for ever: names of weights, initial weights and logits of tiny models are what they first were.

The names are pinned by their SHA-256, numbers within a millionth, since processors' vector instructions round differently.
"""

import hashlib

import pytest
import torch
from conftest import tiny_shape

from minitron.model.language_model import LanguageModel

SHAPES = {
    "llama": tiny_shape(),
    "grouped": tiny_shape(n_heads=4, n_kv_heads=2, qk_norm=True, logit_cap=5.0),
    "nanogpt": tiny_shape("nanogpt"),
    "biased": tiny_shape("nanogpt", bias=True),
    "stream": tiny_shape("stream", n_layers=4, window=8),
}
NAMES = {
    "llama": "61c5039ea4bcf803acfa868e200f2b728cb83d65351b5fc26a85aec8f4f28770",
    "grouped": "b674e21757ae8d1ce276acef8ad18ff4bbada43bffb3008b6f9c7b39c2655734",
    "nanogpt": "4d59057c44cb1c96ac94726b1d340d8cd4d22b4cc2a91827fff569a8d14f41e7",
    "biased": "ef6b6ece2bccd750358be8d578c377f4452cefca854e3cd55a849d176b26d3dd",
    "stream": "550bcafc0731854479d874af4021136a0a11e8ccbd3ef57a3f20fa396b59676a",
}
WEIGHTS = {
    "llama": [
        -0.7433447,
        0.9782477,
        0.2758879,
        -0.2437691,
        -0.2185697,
        0.4314486,
        -0.5271669,
        -0.0641783,
        0.7976179,
        -0.2220827,
        0.0213526,
        -0.1441572,
        -0.5574237,
        -0.0392978,
        -0.1505724,
    ],
    "grouped": [
        -0.1762507,
        0.192539,
        0.0441658,
        -0.0047658,
        0.4891238,
        -0.0330538,
        -0.317955,
        0.1251839,
        -0.4382884,
        -0.0533851,
        0.3200927,
        0.1383357,
        0.6287101,
        -0.1401739,
        -0.2787119,
    ],
    "nanogpt": [
        -0.1762507,
        0.1334549,
        0.8751548,
        -0.2185697,
        0.4314486,
        -0.2635834,
        0.6623393,
        -0.1110414,
        -0.1401739,
        -0.2787119,
    ],
    "biased": [
        0.6124312,
        -0.6577952,
        -0.519025,
        0.3429377,
        0.2624005,
        0.4649544,
        -0.5828249,
        -0.0990099,
        0.1058592,
        0.3249338,
    ],
    "stream": [
        1.1860061,
        -0.0340113,
        -0.1274642,
        0.2959605,
        0.3213415,
        -0.081431,
        -0.161182,
        0.6116983,
        0.1969738,
        0.1271232,
        -0.20616,
        -0.0245347,
        -0.0070351,
        0.1376889,
        -0.0657348,
        -0.2080663,
        -0.5046071,
        0.11915,
        -0.6478306,
        -0.3470713,
        -0.1256636,
        0.4676156,
        -0.0166467,
        -0.150331,
    ],
}
LOGITS = {
    "llama": [-0.2739914, 0.0714982, 0.023533, -0.0680495, -0.0442845, -0.1575148],
    "grouped": [0.0161984, 0.0177865, 0.0467618, -0.1425882, -0.0343651, 0.1393589],
    "nanogpt": [0.0883063, 0.0439287, -0.0764969, -0.129518, -0.0450288, -0.014404],
    "biased": [-0.0592848, -0.0966314, -0.1368827, 0.1901084, -0.0409974, -0.0166099],
    "stream": [0.0434388, -0.0710566, -0.0405455, -0.1465134, -0.0171104, -0.0702925],
}


def seeded(name: str) -> LanguageModel:
    torch.manual_seed(7)
    return LanguageModel(SHAPES[name], 100).eval()


def names(model: LanguageModel) -> str:
    """SHA-256 of all names with their shapes, in order: a checkpoint's optimizer state is matched to weights by this order."""
    lines = (f"{name} {list(weight.shape)}\n" for name, weight in model.named_parameters())
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def weights(model: LanguageModel) -> list[float]:
    """One number for every matrix, to which each of its weights contributes."""
    found = (w.detach().double().flatten() for w in model.parameters() if w.ndim == 2)
    return [float(w @ torch.arange(len(w), dtype=torch.float64).cos()) for w in found]


def logits(model: LanguageModel) -> list[float]:
    """The first six logits after the last of eight ids."""
    with torch.inference_mode():
        return model(torch.arange(3, 91, 11)[None])[0, -1, :6].tolist()


@pytest.mark.parametrize("name", SHAPES)
def test_weights_have_the_names_they_had(name):
    assert names(seeded(name)) == NAMES[name]


@pytest.mark.parametrize("name", SHAPES)
def test_a_seed_gives_the_weights_it_gave(name):
    assert weights(seeded(name)) == pytest.approx(WEIGHTS[name], abs=1e-6)


@pytest.mark.parametrize("name", SHAPES)
def test_weights_give_the_logits_they_gave(name):
    assert logits(seeded(name)) == pytest.approx(LOGITS[name], abs=1e-6)
