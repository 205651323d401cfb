"""The built-in judged dialogues, in Russian and English. Run: minitron synth OUT.parquet [--rows N] [--seed S]

They show a small assistant, Tiko, with skills that a model of a few million parameters learns in minutes. Among them are bad
rows of every kind that the data stage's filter is there to drop, and probes: questions held out of training (`scene.is_held`),
whose answers a rule can check (`minitron.evaluate.checks`). The same number of rows and seed give the same bytes.
Knows nothing about training.

    scene        what all skills share; what is held out; how people type
    numbers knowledge words memory chatter    the skills: each makes a scene
    border       open questions that no skill covers, with an honest answer
    lexicon talk_en talk_ru topics            the words and sentences of the skills
    flaws        how good answers are spoilt, and the judge's scores
    persona      another person in place of Tiko
    compose      scenes -> dialogues -> rows
"""

from collections import Counter
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from minitron.core.errors import MinitronError
from minitron.core.files import atomic_path
from minitron.synth.compose import SKILLS, dialogues
from minitron.synth.persona import Persona

__all__ = ["SCHEMA", "SKILLS", "Persona", "dialogues", "write"]

_TURN = pa.struct([("role", pa.string()), ("content", pa.string())])
SCHEMA = pa.schema(
    [
        ("conversation", pa.list_(_TURN)),
        ("question", pa.string()),
        ("source", pa.string()),
        ("topic", pa.string()),
        ("classified_topic", pa.string()),
        ("overall_score", pa.float32()),  # 0 to 10; -1 or null if the judge failed
        ("safety", pa.float32()),
        ("pii_leak", pa.int8()),
        ("refusal", pa.int8()),
        ("coherence", pa.float32()),
        ("relevance", pa.float32()),
        ("helpful", pa.float32()),
        ("language", pa.string()),  # ru or en
        ("skill", pa.string()),
        ("flaw", pa.string()),  # empty for a good row
        ("probe", pa.int8()),
        ("check", pa.string()),  # for probes: the rules of minitron.evaluate.checks, as JSON; else empty
    ]
)
_GROUP_ROWS = 20_000


def write(path: Path, *, rows: int, seed: int, who: Persona | None = None, long: int = 0) -> dict:
    """Writes `rows` dialogues of `who` (None: Tiko) to a parquet file and returns how many there are of each kind and skill.

    `long`: letters of the longest dialogues that recall what was told long ago (0: none).

    Raises MinitronError if `rows` is below 1 or the file cannot be written.
    """
    if rows < 1:
        raise MinitronError(f"cannot write {rows} dialogues", hint="ask for one or more: --rows 120000", code=2)
    path = Path(path)
    counts: Counter[str] = Counter()
    skills: Counter[str] = Counter()
    made = dialogues(rows, seed, who, long=long)
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, SCHEMA, compression="zstd") as writer:
        while group := list(islice(made, _GROUP_ROWS)):
            writer.write_table(pa.Table.from_pylist(group, SCHEMA))
            counts.update("probes" if r["probe"] else "bad" if r["flaw"] else "good" for r in group)
            skills.update(r["skill"] for r in group)
    return {"rows": rows, **{k: counts[k] for k in ("good", "bad", "probes")}, "skills": dict(sorted(skills.items()))}
