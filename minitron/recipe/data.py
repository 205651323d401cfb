"""The options of the data stage: which dialogues come in, from which sources, who speaks in the built-in ones.

Knows nothing about files and what the stage does with the values.
"""

from dataclasses import dataclass, field

from minitron.recipe.option import option


@dataclass(frozen=True)
class Source:
    """Where data came from, for people who get the model."""

    name: str = option("", "its name")
    licence: str = option("", "its licence, such as CC0-1.0")
    address: str = option("", "where to find it, such as a web address")


@dataclass(frozen=True)
class Fact:
    """What the assistant knows about itself: ways to ask for it, and what it answers."""

    ask: list[str] = option(
        [], "ways to ask for it, all in one language; with four or more the model understands it better", max_items=50
    )
    say: list[str] = option([], "possible answers, one of which is given", max_items=20)


@dataclass(frozen=True)
class PersonaConfig:
    """Who the assistant of the built-in dialogues is."""

    name: str = option("Tiko", "its name", max_bytes=60)
    name_ru: str = option("", "its name in Russian; empty: the same as `name`, but Тико for Tiko", max_bytes=60)
    languages: list[str] = option(["en", "ru"], "what it speaks: en, ru or both", max_items=2)
    facts: list[Fact] = option(
        [],
        "what it knows about itself, such as {ask = ['Where do you live?'], say = ['In Lisbon.']}; if built-in small talk has the "
        "question, this answer replaces its own, however it is asked",
        max_items=200,
    )


@dataclass(frozen=True)
class Fetch:
    """A file that the recipe needs, and where to get it. Without an address, minitron only says which file to put where."""

    path: str = option("", "where the file belongs, written as in the options that read it")
    address: str = option("", "https://..., downloaded if the file is not there")
    licence: str = option("", "its licence, such as CC0-1.0")
    bytes: int = option(0, "its size in bytes", low=0)
    sha256: str = option("", "SHA-256 of its content; a download that differs is refused")
    about: str = option("", "what it is and where to get it, if there is no address")


@dataclass(frozen=True)
class DialogueConfig:
    """Where dialogues come from, how they are read, and which are kept: the options of [data] and of each [[data.source]]."""

    files: list[str] = option(
        [],
        "files of dialogues, globs or folders, relative to the current directory, or addresses such as s3://mine/chats/*.parquet "
        "(formats: docs/data.md)",
    )
    hub: str = option("", "a dataset id, streamed through `datasets`; taken as unchanged until --force")
    hub_config: str = option("", "name of the dataset's configuration, if it has several")
    hub_split: str = option("train", "the dataset's split")
    format: str = option(
        "auto",
        "`auto`: by the columns' names; `messages`: a list of turns in one column (role/content or from/value); `alpaca`: a "
        "question and its answer in two columns, such as instruction (with input) and output, or prompt and response",
        choices=("auto", "messages", "alpaca"),
    )
    column: str = option(
        "auto",
        "the column with the turns; auto: whichever there is of messages, conversation, conversations and dialogue",
    )
    roles: dict[str, str] = option(
        {},
        "further role names and what they stand for, such as {teacher = 'assistant'}; known are user, human, prompter, assistant, "
        "gpt, chatgpt, bot, ai, model, system, developer",
    )
    assistant: str = option(
        "",
        "for chats between people (docs/data.md): name, as in the chat, of the person whose messages are the answers",
    )
    pause_minutes: float = option(
        60.0,
        "for chats between people: a longer pause between two messages begins a new dialogue; 0: no pause does",
        low=0,
    )
    keep: list[str] = option(
        [],
        'rules on any columns, such as \'safety >= 8 and source in ["a", "b"]\' (docs/data.md); a row is kept if all of them hold',
    )
    missing_scores: str = option(
        "drop",
        "what to do with rows that lack a score which a rule needs: empty, not a number (text such as '8' counts as one), or -1 "
        "(unless a rule on that column names a number below 0)",
        choices=("drop", "keep"),
    )
    probes: str = option(
        "", "a rule, such as 'probe == 1', for rows that are test questions: never trained on, asked in eval"
    )
    valid_keep: list[str] = option(
        [],
        "stricter rules on scores: dialogues that fail them are trained on, but neither held out nor used as good answers by kto",
    )
    clean: list[str] = option(
        [],
        "rules on the text of dialogues (docs/data.md): `repetition`, `truncated`, `template` and `language:ru` (or another) drop "
        "a dialogue, `emails`, `phones` and `keys` mask words in it; check with `minitron look` what they do",
        max_items=20,
    )


@dataclass(frozen=True)
class DataSource(DialogueConfig):
    """One source of a mixture, with rules of its own. It is read and cleaned as [data] says, except for options that it sets itself."""

    name: str = option("", "its name in reports; empty: named after its files or its dataset")
    builtin: int = option(0, "make this many built-in dialogues (`minitron synth`)", low=0)
    weight: float = option(
        0.0,
        "its share of the training dialogues, relative to the other weights: the source with the most dialogues for its weight is "
        "used once, the others are repeated; 0: by repeats",
        low=0.0,
    )
    repeats: float = option(
        1.0, "how many times each of its dialogues is in the training data, on average", low=1.0, high=1000.0
    )
    cap: int = option(0, "use at most this many of its dialogues besides probes, chosen by a hash; 0: all", low=0)


@dataclass(frozen=True)
class DataConfig(DialogueConfig):
    """Which dialogues are read, which of them are kept, and which are held out."""

    synth_rows: int = option(0, "make this many built-in dialogues (`minitron synth`) and use them", low=0)
    synth_long: int = option(
        0,
        "letters of the longest built-in dialogues: with a number, every eighth is long, tells facts about the user, and asks for them "
        "soon or much later; for `stream` and long contexts, where a token is 2 to 3 letters; 0: none",
        low=0,
    )
    persona: PersonaConfig = field(default_factory=PersonaConfig)
    source: list[DataSource] = option(
        [], "a mixture of sources: tables [[data.source]] (docs/data.md), instead of files and rules in [data]"
    )
    valid_fraction: float = option(
        0.02,
        "share of the dialogues held out, chosen by a hash; at least 20 of them, or a tenth if there are fewer than 200",
        low=0,
        high=0.5,
    )
    order: str = option(
        "input",
        "order of the written dialogues: `input`, as they were read; `hash`, by a hash of each dialogue and the seed, so that the "
        "order of the files and how they are cut make no difference (always so for a mixture)",
        choices=("input", "hash"),
    )
    near_duplicates: float = option(
        0.0,
        "look for dialogues that share this much of their runs of three words (Jaccard similarity; 0.8 is usual), and order by "
        "hash; 0: off. Needs: pip install minitron[near]",
        low=0.0,
        high=1.0,
    )
    near_drop: str = option(
        "all",
        "which near duplicates to drop: `all`, so that one of each set stays; `held-out`, only training dialogues that are like a "
        "held-out one (contamination); or `none`, only report them",
        choices=("all", "held-out", "none"),
    )
    max_rows: int = option(0, "keep at most this many dialogues; 0: all", low=0)
    workers: int = option(
        0,
        "processes, or threads, that read large parquet and JSON Lines files; 0: one per core; the result is the same",
        low=0,
        high=1024,
        decides=False,
    )
    cluster: str = option(
        "",
        "a Ray cluster that reads parquet and JSON Lines files: an address, `auto` for the one that this computer is in, or "
        "`local` for this computer alone; the result is the same. Needs: pip install minitron[ray]",
        decides=False,
    )
    fetch: list[Fetch] = option(
        [],
        "files of dialogues or text that the recipe needs; those that are missing are downloaded (docs/data.md)",
        decides=False,
    )
    sources: list[Source] = option(
        [], "name, licence and address of what the data came from; shown by the chat program's `info`", decides=False
    )

    @property
    def given(self) -> bool:
        """Whether the recipe names any dialogues."""
        return bool(self.synth_rows or self.files or self.hub or self.source)

    @property
    def any_probes(self) -> bool:
        """Whether a rule marks probes."""
        return bool(self.probes or any(source.probes for source in self.source))
