"""How much there is to learn from, counted on a sample: a few thousand dialogues and the beginnings of texts.

    corpus = look(config)                          # from the data stage's files if this recipe made them, else a sample
    counts = corpus.count(config, vocab_size=4096) # tokens of an epoch, lengths of dialogues and answers

Knows nothing about models and time.
"""

import math
import statistics
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import accumulate, cycle, islice
from pathlib import Path

from minitron import synth
from minitron.core.errors import MinitronError
from minitron.data import documents, sources, store
from minitron.data.formats import open_source
from minitron.data.formats.source import Source, reading
from minitron.data.messages import digest_of, role_map, to_messages
from minitron.data.sample import up_to
from minitron.data.sources import Reader
from minitron.recipe import mixture
from minitron.recipe.data import DataConfig
from minitron.recipe.schema import Config
from minitron.tokenizer import chat_template, kinds
from minitron.tokenizer.base import Tokenizer, TooManyTokens

SAMPLE_ROWS = 2000  # dialogues that are read
SAMPLE_FILES = 8  # files that are read, evenly spread, where there are more
SAMPLE_CHARS = 2_000_000  # characters of raw text that are read
TOKENIZER_CHARS = 2_000_000  # characters that the sample's own tokenizer is trained on


@dataclass
class Counts:
    """A corpus in tokens."""

    vocab_size: int  # of the tokenizer that counted
    sft: int  # tokens of all training dialogues
    pretrain: int  # tokens of all training texts
    dialogue: list[int] = field(default_factory=list)  # tokens of each dialogue of the sample, ascending
    answer: float = 0.0  # mean tokens of an answer
    # of each dialogue of the sample, its tokens up to the end of each answer
    ends: list[list[int]] = field(default_factory=list)

    def within(self, context: int) -> "Counts":
        """The same for a context of so many tokens: dialogues lose the exchanges at their end that do not fit, as in sft."""
        kept = sum(max((end for end in ends if end <= context + 1), default=0) for ends in self.ends)
        return replace(self, sft=round(self.sft * kept / max(1, sum(self.dialogue))))

    def fitting(self, context: int) -> float:
        """The share of the sample's dialogues that fit into a context whole."""
        return sum(size <= context + 1 for size in self.dialogue) / max(1, len(self.dialogue))

    def longest(self, share: float) -> int:
        """The length in tokens that this share of the sample's dialogues does not exceed."""
        return self.dialogue[min(len(self.dialogue) - 1, int(share * len(self.dialogue)))] if self.dialogue else 0


@dataclass
class Corpus:
    """About how much there is to train on. The samples may have dialogues and texts that training will hold out."""

    dialogues: int
    sample: list[list[dict]]  # messages of some dialogues
    text_chars: int = 0  # characters of pretrain's text
    text_sample: list[str] = field(default_factory=list)
    where: str = ""  # how the dialogues were counted

    @property
    def whole(self) -> bool:
        """Whether the sample is all there is."""
        return len(self.sample) >= self.dialogues and not self.text_chars

    def count(self, config: Config, *, vocab_size: int) -> Counts:
        """Counts with the run's tokenizer if it has `vocab_size` tokens, else with one trained on the sample. If the sample is too
        small for that many, a smaller tokenizer is trained, which counts somewhat more tokens than there will be."""
        with tempfile.TemporaryDirectory() as folder:
            counted_by = self._tokenizer(config, vocab_size, Path(folder) / "tokenizer.model")
        lengths, answers, ends = [], [], []
        for messages in self.sample:
            sizes = [len(chat_template.encode_message(m, counted_by)) for m in messages]
            until = list(accumulate(sizes, initial=len(counted_by.start)))
            answering = [i for i, m in enumerate(messages) if m["role"] == "assistant"]
            lengths.append(until[-1])
            answers += [sizes[i] for i in answering]
            ends.append([until[i + 1] for i in answering])
        characters = sum(map(len, self.text_sample))
        ids = sum(len(counted_by.encode(text)) for text in self.text_sample)
        return Counts(
            vocab_size=counted_by.vocab_size,
            sft=round(self.dialogues * statistics.fmean(lengths)) if lengths else 0,
            pretrain=round(self.text_chars * ids / characters) if characters else 0,
            dialogue=sorted(lengths),
            answer=statistics.fmean(answers) if answers else 0.0,
            ends=ends,
        )

    def _tokenizer(self, config: Config, vocab_size: int, scratch: Path) -> Tokenizer:
        of_run = config.layout.tokenizer
        if of_run.exists() and (there := kinds.load(of_run)).vocab_size == vocab_size:
            return there
        settings = replace(config.tokenizer, vocab_size=vocab_size, max_train_chars=TOKENIZER_CHARS)
        try:
            made = kinds.train(self._texts(), config=settings, seed=config.seed)
        except TooManyTokens as error:
            made = kinds.train(self._texts(), config=replace(settings, vocab_size=error.most), seed=config.seed)
        scratch.write_bytes(made)
        return kinds.load(scratch)

    def _texts(self) -> Iterable[str]:
        texts = [m["content"] for messages in self.sample for m in messages] + self.text_sample
        return up_to(TOKENIZER_CHARS, texts)


def look(config: Config) -> Corpus:
    """Estimates the data that the recipe names. Raises MinitronError if it names none, there is nothing in them, or they are a hub's
    dataset that was not read yet."""
    data, folder = config.data, config.layout.stage("data")
    found = Corpus(0, [])
    report, train = store.report_of(config), folder / "train.parquet"
    if report and train.exists():
        count, read = report["train"], islice(store.read(train), SAMPLE_ROWS)
        found = Corpus(count, [d["messages"] for d in read], where="the data stage's report")
    elif data.given:
        parts = mixture.ingredients(data)
        found = _mixed(parts, [_of_part(part, config) for part in parts])
    elif not config.pretrain:
        raise MinitronError(
            f"{config.recipe} names no data", hint="set data.files, data.hub or data.synth_rows", code=2
        )
    if config.pretrain:
        found.text_chars, found.text_sample = _texts_of(config)
    return found


def _of_part(part: mixture.Ingredient, config: Config) -> Corpus:
    data = part.config
    if data.hub:
        raise MinitronError(
            f"how much the dataset {data.hub} holds is not known before it has been read",
            hint=f"run: minitron data {config.recipe}",
        )
    if data.synth_rows:
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "synth.parquet"
            rows, who = min(data.synth_rows, SAMPLE_ROWS), synth.Persona.of(data.persona)
            synth.write(path, rows=rows, seed=config.seed, who=who, long=data.synth_long)
            found = _sampled(data, [open_source(path)], rows=data.synth_rows)
    else:
        every = sources.sources(data)
        found = _sampled(data, every, rows=sum(map(_rows, every)))
    return replace(found, dialogues=min(found.dialogues, part.cap or found.dialogues))


def _mixed(parts: list[mixture.Ingredient], found: list[Corpus]) -> Corpus:
    """The corpora of several sources as one. The sample has each source in the proportion in which it is trained on."""
    if len(found) == 1:
        return found[0]
    times = mixture.repeats(parts, [corpus.dialogues for corpus in found])
    counts = [round(corpus.dialogues * each) for corpus, each in zip(found, times, strict=True)]
    sizes = [-(-SAMPLE_ROWS * count // max(1, sum(counts))) for count in counts]
    sample = [row for corpus, size in zip(found, sizes, strict=True) for row in islice(cycle(corpus.sample), size)]
    where = "; ".join(f"{part.name}: {corpus.where}" for part, corpus in zip(parts, found, strict=True))
    return Corpus(sum(counts), sample, where=where)


def _sampled(data: DataConfig, every: list[Source], *, rows: int) -> Corpus:
    """The corpus of `rows` rows, estimated from the first rows of the sources. Equal dialogues of the sample count once."""
    reader, roles, known = Reader(data), role_map(data), set()
    some = _some(every)
    sample, probes, read = [], 0, 0
    for source in some:
        here = 0
        for chunk in reader.read_one(source):
            for row in chunk[: SAMPLE_ROWS // len(some) - here]:
                here += 1
                messages = to_messages(row.turns, roles=roles, unknown=set())
                if isinstance(messages, str) or (digest := digest_of(messages)) in known:
                    continue
                known.add(digest)
                probes += row.probe
                if not row.probe:
                    sample.append(messages)
            if here >= SAMPLE_ROWS // len(some):
                break
        read += here
    if len(some) == len(every):  # else a source that was not read may have them
        reader.check_columns()
    if not sample:
        raise MinitronError(
            f"no dialogue is left of the first {reader.tally.rows_in:,} rows", hint="check data.keep and data.probes"
        )
    passing = 1 - reader.tally.dropped.total() / reader.tally.rows_in
    kept = rows * passing * (len(sample) + probes) / read
    kept = min(kept, data.max_rows or math.inf) * len(sample) / (len(sample) + probes)
    return Corpus(round(kept * (1 - data.valid_fraction)), sample, where=f"a sample of {read:,} of {rows:,} rows")


def _some(every: list[Source]) -> list[Source]:
    """Up to SAMPLE_FILES of the sources, evenly spread."""
    return every[:: -(-len(every) // SAMPLE_FILES)]


def _rows(source: Source) -> int:
    """The number of rows of a source, counted without parsing them if possible."""
    with reading(source.where):
        count = source.count()
        return sum(1 for _ in source.rows()) if count is None else count


def _texts_of(config: Config) -> tuple[int, list[str]]:
    """About how many characters pretrain's training text has, and a sample of it."""
    if config.pretrain.hub:
        raise MinitronError(
            f"how much the dataset {config.pretrain.hub} holds is not known",
            hint="name files in pretrain.files, to plan",
        )
    every = documents.sources(config.pretrain)
    some = _some(every)
    sample, characters = [], 0.0
    for source in some:
        found = documents.documents_of(source, column=config.pretrain.column)
        whole = list(_until(found, SAMPLE_CHARS // len(some)))
        characters += _rows(source) * statistics.fmean(map(len, whole)) if whole else 0
        sample += up_to(SAMPLE_CHARS // len(some), whole)
    if not sample:
        raise MinitronError(f"there is no text in {', '.join(config.pretrain.files)}", hint="bring more text")
    share = _bytes(every) / max(1, _bytes(some))
    return round(characters * share * (1 - config.pretrain.valid_fraction)), sample


def _bytes(found: list[Source]) -> int:
    return sum(source.path.stat().st_size for source in found)


def _until(texts: Iterable[str], characters: int) -> Iterable[str]:
    """The first texts, each whole, until together they have `characters` characters or more."""
    for text in texts:
        yield text
        characters -= len(text)
        if characters <= 0:
            return
