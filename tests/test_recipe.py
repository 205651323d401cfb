"""Recipes: what is read, what is refused and in which words, what is derived once, and that what is written is read back."""

import dataclasses
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minitron.core.errors import MinitronError
from minitron.recipe import removed
from minitron.recipe.load import load_recipe
from minitron.recipe.write import comment, dump_recipe, write_recipe
from minitron.train.schedule import learning_rate

DATA = '[data]\nfiles = ["d.jsonl"]\n'


def recipe(tmp_path: Path, text: str | bytes = DATA) -> Path:
    path = tmp_path / "r.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def refused(tmp_path: Path, *overrides: str, text: str | bytes = DATA) -> str:
    with pytest.raises(MinitronError) as error:
        load_recipe(recipe(tmp_path, text), list(overrides))
    assert error.value.code == 2
    return f"{error.value} {error.value.hint}"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_what_windows_editors_and_shells_write_is_read(tmp_path, encoding):
    path = recipe(tmp_path, (DATA + '[export]\ntitle = "Тико"\n').replace("\n", "\r\n").encode(encoding))
    assert load_recipe(path).export.title == "Тико"


def test_other_encodings_are_refused_in_a_sentence(tmp_path):
    told = refused(tmp_path, text='[export]\ntitle = "Тико"\n'.encode("cp1251"))
    assert "is not UTF-8 text" in told
    assert "save it as UTF-8" in told


@pytest.mark.parametrize("text", ["seed = " + "1" * 5000, "[export]\nquestions = " + "[" * 3000])
def test_what_the_parser_cannot_take_is_a_sentence(tmp_path, text):
    assert "is not valid TOML" in refused(tmp_path, text=text.encode())


def test_a_comment_holds_no_control_characters():
    text = comment("Made by `minitron new --data 'new\nline\t.jsonl' ё`.")
    assert text == "# Made by `minitron new --data 'new\\nline\\t.jsonl' ё`."
    assert tomllib.loads(text + "\nseed = 1\n") == {"seed": 1}


@pytest.mark.parametrize("name", ["r.toml/below", "x" * 300 + ".toml"])
def test_a_path_that_cannot_be_read_is_a_sentence(tmp_path, name):
    recipe(tmp_path)
    with pytest.raises(MinitronError, match="cannot be read"):
        load_recipe(tmp_path / name)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("export.top_p=0", "export.top_p must be above 0"),
        ("export.temperature=200", "export.temperature must be at most 100"),
        ("export.repeat_penalty=101", "export.repeat_penalty must be at most 100"),
        ("export.temperature=nan", "export.temperature must be a finite number"),
        ("export.temperature=inf", "export.temperature must be a finite number"),
        ("export.title='" + "я" * 501 + "'", "export.title must be at most 1000 bytes long, not 1002"),
        ("export.questions=[" + "'a', " * 101 + "]", "export.questions must have at most 100 items, not 101"),
        ("data.sources=[{name=5}]", "data.sources[0].name must be a text, not 5"),
        ("data.sources=[{nam='x'}]", "did you mean 'data.sources[0].name'"),
        ("optim.beta2=1.0", "optim.beta2 must be below 1"),
        ("seed=18446744073709551616", "seed must be at most 4294967295"),
        ("model.d_model=1000000", "model.d_model must be at most 65536"),
        ("model.context=65536 model.n_layers=48 model.d_model=1024", "would take 12,288 MB for keys and values"),
        ("reject.presets.mine={top_p=0.0}", "reject.presets.mine.top_p must be above 0"),
        ("reject.presets.chat={top_k=9}", "reject.presets: 'chat' is a name that eval keeps for itself"),
        ("reject.presets.all={}", "reject.presets: 'all' is a name that eval keeps for itself"),
        ("seed=" + "1" * 5000, "seed must be a whole number"),
        ("sft.steps=9223372036854775808", "sft.steps must be at most 9223372036854775807"),
        ("optim.lr=1" + "0" * 400, "optim.lr must be a finite number"),
        ("export.questions=" + "[" * 3000, "export.questions must be a list"),
        ("export.title=\udcff", "export.title must be UTF-8 text, not '\ufffd'"),
        ("sft.samples=['\udcff']", "sft.samples[0] must be UTF-8 text"),
        ("data.roles.\udcff=user", "data.roles must be UTF-8 text"),
    ],
)
def test_the_programs_bounds_are_the_recipes(tmp_path, override, told):
    assert told in refused(tmp_path, *(override.split() if override.startswith("model.context") else [override]))


def test_all_mistakes_are_told_at_once(tmp_path):
    told = refused(tmp_path, "optim.lr=x", "sft.step=5", "model.n_heads=3")
    assert "2 mistakes" in told
    assert "optim.lr must be a number" in told
    assert "unknown key 'sft.step'; did you mean 'sft.steps'?" in told


def test_an_option_that_is_gone_says_what_became_of_it(tmp_path, monkeypatch):
    monkeypatch.setitem(removed.REMOVED, "sft.momentum", 0.95)
    assert "'sft.momentum' is no longer an option: it is 0.95 now" in refused(tmp_path, "sft.momentum=0.9")


def test_a_recipe_is_resolved_once_and_not_changed_after(tmp_path):
    config = load_recipe(recipe(tmp_path), ["model.n_heads=8", "model.d_model=320"])
    assert (config.model.n_kv_heads, config.model.d_ff) == (8, 896)  # 8/3 * 320 = 853.3, up to a multiple of 64
    for section in (config, config.model, config.sft, config.export):
        with pytest.raises(dataclasses.FrozenInstanceError):
            section.name = "x"


def test_a_written_recipe_holds_what_is_not_the_default_and_nothing_derived(tmp_path):
    config = load_recipe(recipe(tmp_path), ["shard=true", "model.n_heads=8", "sft.steps=7", "reject.prompts=3"])
    text = write_recipe(config, comments={"sft.steps": "few"})
    assert tomllib.loads(text) == {
        "seed": 1,
        "shard": True,
        "data": {"files": ["d.jsonl"]},
        "model": {"n_heads": 8},
        "sft": {"steps": 7},
        "reject": {"prompts": 3},
    }
    assert "steps = 7  # few" in text
    assert dump_recipe(load_recipe(recipe(tmp_path, text))) == dump_recipe(config)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@settings(max_examples=50, deadline=None)
@given(title=TEXTS, questions=st.lists(TEXTS, max_size=3), roles=st.dictionaries(TEXTS, TEXTS, max_size=3))
def test_any_text_is_read_back_as_it_was(tmp_path_factory, title, questions, roles):
    folder = tmp_path_factory.mktemp("recipe")
    config = load_recipe(recipe(folder))
    config = dataclasses.replace(
        config,
        export=dataclasses.replace(config.export, title=title, questions=questions),
        data=dataclasses.replace(config.data, roles=roles),
    )
    for text in (dump_recipe(config), write_recipe(config, comments={})):
        again = load_recipe(recipe(folder, text))
        assert (again.export.title, again.export.questions, again.data.roles) == (title, questions, roles)


def test_a_stage_may_have_an_optimizer_of_its_own(tmp_path):
    text = DATA + "[optim]\nlr = 1e-3\nwarmup_steps = 7\n[sft.optim]\nlr = 5e-5\n"
    config = load_recipe(recipe(tmp_path, text), ["sft.optim.beta1=0.8"])
    assert (config.optim.lr, config.optim.end_lr, config.optim.beta1) == (1e-3, 1e-4, 0.9)
    assert (config.sft.optim.lr, config.sft.optim.end_lr, config.sft.optim.beta1) == (5e-5, 5e-6, 0.8)
    assert config.sft.optim.warmup_steps == 7
    for text in (dump_recipe(config), write_recipe(config, comments={})):
        again = load_recipe(recipe(tmp_path, text))
        assert (again.optim, again.sft.optim) == (config.optim, config.sft.optim)
    written = write_recipe(config, comments={"sft.optim.min_lr": "left out"})
    assert written[written.index("[sft.optim]") :].split() == ["[sft.optim]", "lr", "=", "5e-05", "beta1", "=", "0.8"]


def test_optimizers_are_those_of_optim_where_nothing_else_is_said(tmp_path):
    config = load_recipe(recipe(tmp_path, DATA + '[pretrain]\nfiles = ["x.txt"]\n'), ["optim.lr=2e-3"])
    assert config.pretrain.optim == config.sft.optim == config.optim
    other = config.with_optim(name="muon", lr=1e-2)
    assert other.pretrain.optim == other.sft.optim == other.optim
    assert (other.optim.name, other.optim.end_lr, config.optim.name) == ("muon", 1e-3, "adamw")


def test_mistakes_in_an_optimizer_are_told_once_and_where_they_are(tmp_path):
    assert refused(tmp_path, "optim.lrr=1").count("unknown key") == 1
    assert "unknown key 'optim.lrr'" in refused(tmp_path, "optim.lrr=1")
    assert "unknown key 'sft.optim.lrr'; did you mean 'sft.optim.lr'?" in refused(tmp_path, "sft.optim.lrr=1")
    assert refused(tmp_path, "optim.lr=1e-5", "optim.min_lr=1e-4").count("is above") == 1
    assert "optim.min_lr 0.0001 is above optim.lr 1e-05" in refused(tmp_path, "optim.lr=1e-5", "optim.min_lr=1e-4")
    assert "sft.optim.min_lr 0.1 is above sft.optim.lr 0.001" in refused(tmp_path, "sft.optim.min_lr=0.1")
    assert "sft.optim must be a section" in refused(tmp_path, "sft.optim=1")


def test_the_learning_rate_never_rises_after_the_warm_up(tmp_path):
    """If only lr is lowered, the schedule must not end above lr: min_lr follows it."""
    optim = load_recipe(recipe(tmp_path), ["optim.lr=5e-5"]).sft.optim
    rates = [learning_rate(step, steps=1000, config=optim) for step in range(optim.warmup_steps, 1000)]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(5e-6)
    assert load_recipe(recipe(tmp_path), ["optim.min_lr=0.0"]).sft.optim.end_lr == 0.0
