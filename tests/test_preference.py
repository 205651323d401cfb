"""preference: completions computed together get the log-probabilities that each gets alone, and little is computed twice or for nothing."""

import pytest
import torch

from minitron.align.preference import Example, by_prompt, deal, scored, token_log_probs


def some_examples(vocab_size: int, count: int = 14) -> list[Example]:
    """Completions of many lengths for few prompts; some count only from their third token on."""
    chance = torch.Generator().manual_seed(0)

    def ids(length: int) -> list[int]:
        return torch.randint(4, vocab_size, (length,), generator=chance).tolist()

    prompts = [ids(length) for length in (1, 6, 2)]
    asked = [prompts[i % 3] for i in range(count)]
    return [Example(p + ids(1 + 3 * i), len(p), i % 2 == 0, len(p) + 2 * (i % 4 == 3)) for i, p in enumerate(asked)]


def alone(model, example: Example) -> torch.Tensor:
    log_probs = model(torch.tensor([example.ids[:-1]]))[0].log_softmax(-1)
    return log_probs[torch.arange(len(example.ids) - 1), torch.tensor(example.ids[1:])][example.start - 1 :]


def test_together_they_equal_each_alone_and_so_do_gradients(tiny_model):
    examples = some_examples(tiny_model.vocab_size)
    assert max(map(len, by_prompt(examples))) > 2
    want = torch.cat([alone(tiny_model, e) for e in examples])
    got = token_log_probs(tiny_model, examples)
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)
    twice = [*examples, *examples[::-1]]  # equal ones are computed once
    parts = want.detach().split([e.length for e in examples])
    torch.testing.assert_close(scored(tiny_model, twice), torch.cat([*parts, *parts[::-1]]), rtol=1e-5, atol=1e-5)
    weights = [p for p in tiny_model.parameters() if p.requires_grad]
    found, wanted = (torch.autograd.grad((x * torch.linspace(-1, 1, len(x))).sum(), weights) for x in (got, want))
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * other.abs().max().item())


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_parts_share_the_work_and_keep_completions_of_a_prompt_together(parts):
    examples = [Example([7, p, *range(5 + p)], 2, label) for p in range(8) for label in (True, False)]
    numbers = [3, 2, 9, 8, 14, 15, 0, 1]
    dealt = deal(examples, numbers, parts)
    assert sorted(sum(dealt, [])) == sorted(numbers)
    for part in dealt:
        assert {n ^ 1 for n in part} == set(part)  # the two of a pair stay together
    work = [sum(len(examples[n].ids) for n in part) for part in dealt]
    assert max(work) - min(work) <= 30
