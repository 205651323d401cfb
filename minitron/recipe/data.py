"""The options of the data stage: which dialogues come in, from which sources, who speaks in the built-in ones.

Knows nothing about files and what the stage does with the values.
"""

from dataclasses import dataclass, field

from minitron.recipe.option import option


@dataclass(frozen=True)
class Source:
    """What data came from, for people who get the model."""

    name: str = option("", "its name")
    licence: str = option("", "what it allows")
    address: str = option("", "where it is")


@dataclass(frozen=True)
class Fact:
    """What the assistant knows about itself: ways to ask for it, and what it answers."""

    ask: list[str] = option([], "ways to ask, in one language; four or more are understood better", max_items=50)
    say: list[str] = option([], "what it answers: one of these", max_items=20)


@dataclass(frozen=True)
class PersonaConfig:
    """Who the assistant of the built-in dialogues is."""

    name: str = option("Tiko", "its name", max_bytes=60)
    name_ru: str = option("", "its name in Russian; empty: as `name`, or Тико", max_bytes=60)
    languages: list[str] = option(["en", "ru"], "what it speaks: en, ru or both", max_items=2)
    facts: list[Fact] = option(
        [],
        "what it knows about itself, such as {ask = ['Where do you live?'], say = ['In Lisbon.']}; where built-in small talk has the "
        "question, this is the answer to all ways to ask the same",
        max_items=200,
    )


@dataclass(frozen=True)
class Fetch:
    """A file that the recipe needs, and where it is to be had. Without an address it is only said what to put where."""

    path: str = option("", "where it belongs, as the options that read it have it")
    address: str = option("", "https://..., fetched if the file is not there")
    licence: str = option("", "what it allows")
    bytes: int = option(0, "its size", low=0)
    sha256: str = option("", "of its content: what is fetched and differs is refused")
    about: str = option("", "what it is and where to get it, where there is no address")


@dataclass(frozen=True)
class DialogueConfig:
    """Where dialogues come from, how they are read, and which stay: of [data], or of one [[data.source]]."""

    files: list[str] = option(
        [],
        "files of dialogues (docs/data.md has formats and shapes), globs, folders, relative to the current directory; or addresses, such as "
        "s3://mine/chats/*.parquet",
    )
    hub: str = option("", "a dataset id, read through `datasets`, streaming; it counts as unchanged until --force")
    hub_config: str = option("", "the dataset's configuration name, where it has several")
    hub_split: str = option("train", "the dataset's split")
    format: str = option(
        "auto",
        "`messages`: a list of turns in one column (role/content or from/value); `alpaca`: a question and its answer in two "
        "columns, such as instruction (with input) and output, or prompt and response",
        choices=("auto", "messages", "alpaca"),
    )
    column: str = option(
        "auto", "the column with the turns; auto: what a row has of messages, conversation, conversations and dialogue"
    )
    roles: dict[str, str] = option(
        {},
        "further role names, such as {teacher = 'assistant'}; known are user, human, prompter, assistant, gpt, chatgpt, bot, ai, "
        "model, system, developer",
    )
    assistant: str = option(
        "",
        "whose messages are the answers where files are chats between people (docs/data.md), by the name in the chat",
    )
    pause_minutes: float = option(
        60.0, "in such a chat, a longer pause between two messages begins a new dialogue; 0: none does", low=0
    )
    keep: list[str] = option(
        [],
        'a row stays if all of these hold, such as \'safety >= 8 and source in ["a", "b"]\' (docs/data.md); any columns',
    )
    missing_scores: str = option(
        "drop",
        "rows whose score is missing, no number (text that reads as one counts as it), or -1 (not judged, unless a rule on "
        "that column names a number below 0)",
        choices=("drop", "keep"),
    )
    probes: str = option("", "rows held out by design, as a rule such as 'probe == 1': never trained on, asked in eval")
    valid_keep: list[str] = option(
        [],
        "stricter rules for what is held out and for what kto takes as good answers: what fails them is trained on only",
    )
    clean: list[str] = option(
        [],
        "rules about what dialogues say (docs/data.md): `repetition`, `truncated`, `template` and `language:ru` (or another) drop a "
        "dialogue, `emails`, `phones` and `keys` mask words in it; see with `minitron look` before you believe them",
        max_items=20,
    )


@dataclass(frozen=True)
class DataSource(DialogueConfig):
    """One source of a mixture, with rules of its own. How it is read and cleaned is as [data] says unless it says otherwise."""

    name: str = option("", "what it is called in reports; empty: after its files or its dataset")
    builtin: int = option(0, "make this many built-in dialogues (`minitron synth`)", low=0)
    weight: float = option(
        0.0,
        "its share of the training dialogues beside the other weights: the source that has most for its weight is trained on once, the "
        "others as often as it takes; 0: by repeats",
        low=0.0,
    )
    repeats: float = option(1.0, "how often each of its dialogues stands among those to train on", low=1.0, high=1000.0)
    cap: int = option(0, "take at most this many dialogues of it, chosen by a hash; 0: all", low=0)


@dataclass(frozen=True)
class DataConfig(DialogueConfig):
    """Which dialogues come in, which of them stay, and which are held out."""

    synth_rows: int = option(0, "make this many built-in dialogues (`minitron synth`) and use them", low=0)
    persona: PersonaConfig = field(default_factory=PersonaConfig)
    source: list[DataSource] = option(
        [], "a mixture: tables [[data.source]] (docs/data.md), in place of files and rules here"
    )
    valid_fraction: float = option(
        0.02,
        "share of the dialogues held out at random (by a hash of the dialogue), but at least 20, or a tenth of few",
        low=0,
        high=0.5,
    )
    order: str = option(
        "input",
        "of what is written: `input`, as it was read; `hash`, by a hash of each dialogue and the seed, so that neither the order of the "
        "files nor how they are cut makes a difference (a mixture always is)",
        choices=("input", "hash"),
    )
    near_duplicates: float = option(
        0.0,
        "look for dialogues that share this much of their runs of three words (Jaccard; 0.8 is usual), and order by hash; 0: do not. "
        "Needs: pip install minitron[near]",
        low=0.0,
        high=1.0,
    )
    near_drop: str = option(
        "all",
        "of these drop `all` but one that stays; those like a `held-out` dialogue only (contamination); or `none`: just report them",
        choices=("all", "held-out", "none"),
    )
    max_rows: int = option(0, "stop after this many kept dialogues; 0: all", low=0)
    workers: int = option(
        0,
        "processes that read large parquet files and JSON lines; 0: one per core; they all make the same",
        low=0,
        high=1024,
        decides=False,
    )
    cluster: str = option(
        "",
        "a Ray cluster whose machines read parquet files and JSON lines: `auto` for the one that this computer is in, an address, or `local` "
        "for this computer alone; they all make the same. Needs: pip install minitron[ray]",
        decides=False,
    )
    fetch: list[Fetch] = option(
        [],
        "files that the recipe needs, of dialogues or of text, which are fetched if they are not there (docs/data.md)",
        decides=False,
    )
    sources: list[Source] = option(
        [], "name, licence and address of what went in; shown by the chat program's `info`", decides=False
    )

    @property
    def given(self) -> bool:
        """Whether the recipe names any dialogues."""
        return bool(self.synth_rows or self.files or self.hub or self.source)

    @property
    def any_probes(self) -> bool:
        """Whether a rule marks probes."""
        return bool(self.probes or any(source.probes for source in self.source))
