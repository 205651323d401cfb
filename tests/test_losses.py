"""The losses against NumPy, against TRL's own trainer, and at points whose values are known."""

import warnings

import numpy as np
import pytest
import torch
from conftest import tiny_shape

from minitron.align import losses
from minitron.align.losses import preference_loss
from minitron.align.method import Method
from minitron.align.preference import Example, Scored, token_log_probs
from minitron.model.language_model import LanguageModel

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # from TRL and transformers, about each other


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("raw_z", [-2.0, 0.0, 0.4])
def test_kto_equals_an_independent_calculation(raw_z):
    chance = np.random.default_rng(0)
    ratios, labels = chance.normal(size=64), chance.random(64) < 0.5
    z_ref = max(0.0, raw_z)
    want = np.where(labels, 1 - sigmoid(0.7 * (ratios - z_ref)), 1 - sigmoid(0.7 * (z_ref - ratios)))
    got = losses.kto(torch.tensor(ratios), labels=torch.tensor(labels), raw_z=raw_z, beta=0.7)
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-12)


def test_apo_zero_equals_an_independent_calculation():
    chance = np.random.default_rng(1)
    ratios, labels = chance.normal(size=64), chance.random(64) < 0.5
    want = np.where(labels, 1 - sigmoid(3 * ratios), sigmoid(3 * ratios))
    got = losses.apo_zero(torch.tensor(ratios), labels=torch.tensor(labels), beta=3.0)
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-12)


@pytest.mark.parametrize("loss", ["kto", "apo_zero"])
@pytest.mark.parametrize("ratio", ["mean", "sum"])
def test_half_at_the_reference_and_gradients_point_the_right_way(loss, ratio):
    ratios = torch.zeros(2, requires_grad=True)
    labels, lengths = torch.tensor([True, False]), torch.tensor([3, 4])
    method = Method(loss=loss, ratio=ratio)
    value = preference_loss(ratios, labels=labels, lengths=lengths, raw_z=0.0, beta=2.0, method=method)
    assert value.tolist() == [0.5, 0.5]
    value.sum().backward()
    assert ratios.grad.tolist() == [-0.5, 0.5]  # chosen up, rejected down, each by beta / 4


def test_z_below_zero_changes_nothing():
    ratios, labels = torch.tensor([0.3, -0.2]), torch.tensor([True, False])
    at_zero = losses.kto(ratios, labels=labels, raw_z=0.0, beta=1.0)
    assert torch.equal(losses.kto(ratios, labels=labels, raw_z=-37.0, beta=1.0), at_zero)


def test_a_token_carries_no_more_than_the_clamp():
    tokens = torch.tensor([-3.0, 0.5, 9.0, 0.1], requires_grad=True)
    owner, lengths = torch.tensor([0, 0, 1, 1]), torch.tensor([2, 2])
    summed = losses.per_completion(tokens, owner, lengths=lengths, mean=False, clamp=(-1.0, 1.5))
    torch.testing.assert_close(summed, torch.tensor([-0.5, 1.6]))
    summed.sum().backward()
    assert tokens.grad.tolist() == [0, 1, 0, 1]
    means = losses.per_completion(tokens.detach(), owner, lengths=lengths, mean=True)
    torch.testing.assert_close(means, torch.tensor([-1.25, 4.55]))


@pytest.mark.parametrize("ratio", ["mean", "sum"])
def test_a_rejected_completion_below_the_floor_is_left_alone(ratio):
    lengths = torch.tensor([4, 4, 4])
    unit = 1 if ratio == "mean" else 4
    ratios = (torch.tensor([-2.0, -2.0, -0.5]) * unit).requires_grad_()
    labels = torch.tensor([True, False, False])
    method = Method(ratio=ratio, rejected_floor=1.0)
    preference_loss(ratios, labels=labels, lengths=lengths, raw_z=0.0, beta=0.1, method=method).sum().backward()
    down = ratios.grad.tolist()
    assert down[0] < 0
    assert down[1] == 0
    assert down[2] > 0


@pytest.mark.parametrize(
    ("chosen", "rejected", "want"),
    [
        (100, 100, (1, 1)),  # 1.0
        (133, 100, (1, 1)),  # 1.33
        (400, 100, (1, 3)),  # 4.0: lambda_u so that 400 / (3 * 100) = 4/3
        (100, 400, (4, 1)),  # 0.25: lambda_d so that 4 * 100 / 400 = 1
        (0, 5, (1, 1)),
    ],
)
def test_weights_by_count(chosen, rejected, want):
    weights = losses.class_weights(chosen, rejected)
    assert weights == pytest.approx(want)
    if chosen and rejected:
        assert 1 <= weights[0] * chosen / (weights[1] * rejected) <= 4 / 3 + 1e-9  # arXiv 2402.01306, eq. 9


# --- TRL -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trl():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("trl")


ROWS = [
    ([5, 9, 2], [7, 8, 3], True),
    ([5, 11, 12, 2], [40, 41, 42, 43, 3], False),
    ([6, 2], [9, 3], True),
    ([13, 2], [50, 3], False),
]


@pytest.mark.parametrize("loss", ["kto", "apo_zero"])
@pytest.mark.parametrize("weights", [(1.0, 1.0), (1.0, 1.7)])
def test_equals_the_trainer_of_trl(trl, loss, weights, tmp_path):
    """Loss and gradient of one batch: TRL's trainer on Hugging Face's Llama, ours on the same weights."""
    import transformers
    from datasets import Dataset

    torch.manual_seed(0)
    reference = LanguageModel(tiny_shape(), 64).eval()
    policy = LanguageModel(tiny_shape(), 64).eval()
    policy.load_state_dict(reference.state_dict())
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.03 * torch.randn_like(parameter))

    def theirs(model: LanguageModel) -> transformers.LlamaForCausalLM:
        c = model.config
        llama = transformers.LlamaForCausalLM(
            transformers.LlamaConfig(
                vocab_size=64, hidden_size=c.d_model, intermediate_size=c.d_ff, num_hidden_layers=c.n_layers,
                num_attention_heads=c.n_heads, num_key_value_heads=c.n_kv_heads, max_position_embeddings=c.context,
                rms_norm_eps=c.norm_eps, rope_theta=c.rope_theta, tie_word_embeddings=True, attention_bias=False,
            )
        )  # fmt: skip
        lacking = llama.load_state_dict(model.state_dict(), strict=False)
        assert lacking.missing_keys in ([], ["lm_head.weight"])
        assert not lacking.unexpected_keys
        return llama

    tokens = {f"t{i}": i for i in range(62)} | {"<eos>": 62, "<pad>": 63}
    raw = transformers.PreTrainedTokenizerFast(tokenizer_object=_words(tokens), eos_token="<eos>", pad_token="<pad>")
    rows = [{"prompt": "".join(f" t{i}" for i in p), "completion": "".join(f" t{i}" for i in c), "label": label} for p, c, label in ROWS]  # fmt: skip
    settings = trl.KTOConfig(
        output_dir=str(tmp_path), loss_type={"kto": "kto", "apo_zero": "apo_zero_unpaired"}[loss], beta=0.3,
        desirable_weight=weights[0], undesirable_weight=weights[1], per_device_train_batch_size=len(rows), max_length=64,
        use_cpu=True, report_to=[], disable_dropout=True, gradient_checkpointing=False, bf16=False,
    )  # fmt: skip
    trainer = trl.KTOTrainer(
        model=theirs(policy), ref_model=theirs(reference), args=settings, train_dataset=Dataset.from_list(rows), processing_class=raw
    )  # fmt: skip
    batch = next(iter(trainer.get_train_dataloader()))
    trainer.model.train()
    want = trainer.compute_loss(trainer.model, batch)
    want.backward()

    def examples(prefix: str) -> list[Example]:
        made = []
        for ids, counted, label in zip(
            batch[f"{prefix}input_ids"], batch[f"{prefix}completion_mask"], batch["label"], strict=True
        ):
            kept = [int(i) for i in ids if i != 63]
            made.append(Example(kept, len(kept) - int(counted.sum()), bool(label)))
        return made

    pairs = Scored(reference, examples(""))
    numbers = list(range(len(rows)))
    raw_z = 0.0
    if loss == "kto":
        mixed = Scored(reference, examples("KL_"))
        with torch.no_grad():
            raw_z = mixed.ratios(token_log_probs(policy, mixed.examples), numbers, mean=False).mean().item()
    method = Method(loss=loss, ratio="sum", rejected_floor=None)
    ratios = pairs.ratios(token_log_probs(policy, pairs.examples), numbers, mean=False)
    got = preference_loss(ratios, labels=pairs.labels, lengths=pairs.lengths, raw_z=raw_z, beta=0.3, method=method)
    got = (torch.where(pairs.labels, *weights) * got).mean()
    got.backward()
    torch.testing.assert_close(got, want.detach(), rtol=1e-5, atol=0)
    gradients = {name: p.grad for name, p in trainer.model.named_parameters()}
    for name, parameter in policy.named_parameters():
        scale = gradients[name].abs().max().item()
        torch.testing.assert_close(parameter.grad, gradients[name], rtol=1e-5, atol=1e-5 * scale)


def _words(tokens: dict[str, int]):
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel(tokens, unk_token="t0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(["<eos>", "<pad>"])
    return tokenizer
