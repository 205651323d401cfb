"""Packing loses and repeats nothing, for any lengths; a batch's targets are what the mask says."""

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minitron.core.errors import MinitronError
from minitron.data.packing import PackedRows, Sequence, collate, is_whole, pack


@settings(max_examples=60, deadline=None)
@given(lengths=st.lists(st.integers(2, 17), max_size=200), big=st.booleans())
def test_packing_loses_and_repeats_nothing(tmp_path_factory, lengths, big):
    out = tmp_path_factory.mktemp("pack") / "rows"
    top = 70000 if big else 60000
    chance = np.random.default_rng(len(lengths))
    sequences = [Sequence(chance.integers(0, top, n).tolist(), (chance.random(n) < 0.5).tolist(), n) for n in lengths]
    counts = pack(sequences, context=16, vocab_size=top, out=out)
    rows = PackedRows(out)
    assert counts["tokens"] == sum(lengths)
    assert counts["target_bytes"] == sum(lengths)
    assert counts["targets"] == sum(sum(s.mask[1:]) for s in sequences)
    seen = [(tuple(ids), tuple(mask)) for row in range(len(rows)) for ids, mask in rows.sequences(row)]
    assert sorted(seen) == sorted((tuple(s.ids), tuple(s.mask)) for s in sequences)
    assert all(sum(len(ids) for ids, _ in rows.sequences(row)) <= 17 for row in range(len(rows)))


def test_rows_are_well_filled(tmp_path):
    lengths = np.random.default_rng(0).integers(10, 120, 5000)
    counts = pack((Sequence([1] * n, [True] * n) for n in lengths), context=256, vocab_size=10, out=tmp_path / "p")
    assert counts["tokens"] / (counts["rows"] * 257) > 0.97


def test_the_rows_are_those_that_they_have_always_been(tmp_path):
    """Pinned, because training can be repeated exactly only on the same rows."""
    lengths = np.random.default_rng(0).integers(10, 120, 2000).tolist()
    counts = pack((Sequence([1] * n, [True] * n) for n in lengths), context=256, vocab_size=10, out=tmp_path / "p")
    rows = b"".join(np.load(tmp_path / f"p/{name}.npy").tobytes() for name in ("sequences", "order", "rows"))
    assert counts["rows"] == 519
    assert hashlib.sha256(rows).hexdigest() == "c11549a3e00bf6f61ba7da5db2a88230a359f6636742b6ddd01258b8e3b6cbae"


def test_targets_position_by_position():
    rows = [
        [
            (np.array([1, 5, 6, 4, 3, 7, 4]), np.array([0, 0, 0, 0, 0, 1, 1], bool)),
            (np.array([2, 8]), np.array([0, 1], bool)),
        ]
    ]
    batch = collate(rows, context=10)
    assert batch.ids.tolist() == [[1, 5, 6, 4, 3, 7, 4, 2, 8, 0]]
    assert batch.positions.tolist() == [[0, 1, 2, 3, 4, 5, 6, 0, 1, 0]]
    assert batch.count == 3
    assert batch.select.tolist() == [4, 5, 7] + [0] * 125  # where 3, 7 and 2 are read
    assert batch.targets.tolist() == [7, 4, 8] + [-100] * 125
    assert batch.mask[0, 0, 2].tolist() == [True] * 3 + [False] * 7
    assert batch.mask[0, 0, 8].tolist() == [False] * 7 + [True, True, False]


def test_a_sequence_may_end_one_past_the_context():
    batch = collate([[(np.arange(11), np.ones(11, bool))]], context=10)
    assert batch.ids.tolist() == [list(range(10))]
    assert batch.targets[:10].tolist() == list(range(1, 11))
    assert batch.select[:10].tolist() == list(range(10))


def test_too_long_a_sequence_is_a_bug_of_the_caller(tmp_path):
    with pytest.raises(AssertionError):
        pack([Sequence([1] * 12, [True] * 12)], context=10, vocab_size=10, out=tmp_path / "p")
    assert not (tmp_path / "p").exists()


def test_padding_sees_itself_only():
    two = [(np.array([1]), np.array([0], bool)), (np.array([2]), np.array([0], bool))]
    assert torch.equal(collate([two], context=4).mask[0, 0].any(-1), torch.ones(4, dtype=torch.bool))
    assert collate([two[:1]], context=4).mask is None  # plain causal attention: what comes after is padding


@pytest.mark.parametrize("name", ["tokens.bin", "targets.bin", "sequences.npy", "order.npy", "rows.npy", "pack.json"])
@pytest.mark.parametrize("damage", ["zeros", "cut", "empty", "gone"])
def test_damaged_rows_are_noticed(tmp_path, name, damage):
    """What a power cut may leave: a file of zeros, a shortened or an empty one, or none."""
    pack([Sequence([1, 2, 3], [False, True, True])] * 9, context=10, vocab_size=10, out=tmp_path / "p")
    assert is_whole(tmp_path / "p")
    file = tmp_path / "p" / name
    data = file.read_bytes()
    file.write_bytes({"zeros": bytes(len(data)), "cut": data[:-1]}.get(damage, b""))
    if damage == "gone":
        file.unlink()
    assert not is_whole(tmp_path / "p")
    if damage != "zeros" or name in ("pack.json", "order.npy"):
        with pytest.raises(MinitronError, match="are damaged or of an earlier version") as failure:
            PackedRows(tmp_path / "p")
        assert f"delete {tmp_path / 'stage.json'} and run its stage again" in failure.value.hint


@pytest.mark.parametrize("text", ["[]", "null", "{}", '{"files": []}', '{"files": {}}'])
def test_a_pack_file_that_is_none_is_noticed(tmp_path, text):
    pack([Sequence([1, 2], [False, True])], context=10, vocab_size=10, out=tmp_path / "p")
    (tmp_path / "p" / "pack.json").write_text(text)
    assert not is_whole(tmp_path / "p")
    with pytest.raises(MinitronError):
        PackedRows(tmp_path / "p")
    assert not is_whole(tmp_path / "nothing")
