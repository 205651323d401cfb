"""One run of KTO, or of sampling answers, by minitron or by TRL and transformers. kto_speed.py starts it once per figure.

    python benchmarks/kto_peers.py train|draw minitron|hugging-face FOLDER '{"steps": 40}'

FOLDER holds what kto_speed.py laid out: a run with an SFT model, and examples.json. Prints one line of JSON: seconds, the peak
resident memory of this process in MB, and the peak when everything was imported and the model loaded (`before_mb`).
"""

import contextlib
import json
import os
import resource
import sys
import time
import warnings
from pathlib import Path

import torch

from minitron.align.kto import Kto
from minitron.align.method import Method
from minitron.align.preference import Batches, Example
from minitron.core import parallel
from minitron.evaluate.examiner import Examiner
from minitron.model.language_model import LanguageModel
from minitron.recipe.alignment import Sampling
from minitron.recipe.load import load_recipe
from minitron.sample.generate import Decoding, generate
from minitron.train import checkpoint

END, PAD = 2, 3  # of minitron's tokenizers; the pad is any id that is never looked at
BANNED = [0, 1, END, PAD]


def peak_mb() -> float:
    """The peak resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def examples() -> list[Example]:
    return [Example(**one) for one in json.loads(Path("examples.json").read_text())]


# ---- KTO


def train_minitron(*, steps: int, rows: int, optimizer: str) -> dict:
    """Runs the steps of minitron's kto stage with its loss and its batches, but without guards and checkpoints."""
    recipe = load_recipe("recipes/demo.toml", [f"kto.batch_rows={rows}", f"optim.name={optimizer}", "device=cpu"])
    model = sft_model()
    asked, run, before = examples(), Kto(recipe, model, Examiner(recipe, None), method=Method()), peak_mb()
    begun = time.perf_counter()
    material = run.training_set(asked, [i // 2 for i in range(len(asked))])
    scored = time.perf_counter()
    batches = Batches(material.pairs.labels.tolist(), rows=rows, seed=recipe.seed)
    for step in range(steps):
        run.step(batches.step(step), material)
    ended = time.perf_counter()
    sums = [float(one.double().sum()) for one in material.pairs.reference]
    return {
        "reference_seconds": scored - begun,
        "step_seconds": ended - scored,
        "before_mb": before,
        "reference": sums,
    }


def train_hugging_face(*, steps: int, rows: int, gradient_checkpointing: bool) -> dict:
    """Runs TRL's KTOTrainer on the same examples, in the order in which minitron's first epoch reads them."""
    import transformers
    import trl
    from datasets import Dataset

    class Timed(trl.KTOTrainer):
        reference_seconds = 0.0

        def _precompute_ref_logps(self, *how, **more):
            begun = time.perf_counter()
            done = super()._precompute_ref_logps(*how, **more)
            self.reference_seconds += time.perf_counter() - begun
            return done

    class Clock(transformers.TrainerCallback):
        def on_step_begin(self, arguments, state, control, **kwargs):
            if not state.global_step:
                self.begun = time.perf_counter()

        def on_step_end(self, arguments, state, control, **kwargs):
            self.ended = time.perf_counter()

    model = hugging_face()
    asked = examples()
    batches = Batches([e.label for e in asked], rows=rows, seed=1)
    order = [number for step in range(len(asked) // rows) for number in batches.step(step)]
    lines = [{"prompt": spell(e.ids[: e.prompt]), "completion": spell(e.ids[e.prompt :]), "label": e.label} for e in asked]  # fmt: skip
    settings = trl.KTOConfig(
        output_dir="trl", per_device_train_batch_size=rows, max_steps=steps, max_length=model.config.max_position_embeddings + 1,
        precompute_ref_log_probs=True, gradient_checkpointing=gradient_checkpointing, use_cpu=True, bf16=False, seed=1,
        logging_strategy="no", save_strategy="no", eval_strategy="no", report_to=[], disable_tqdm=True,
    )  # fmt: skip
    before, clock = peak_mb(), Clock()
    trainer = Timed(
        model=model, args=settings, train_dataset=Dataset.from_list([lines[i] for i in order]), processing_class=words(model.config.vocab_size),
        callbacks=[clock],
    )  # fmt: skip
    seen = [trainer.train_dataset[place] for place in range(len(order))]
    for number, row in zip(order, seen, strict=True):
        assert row["prompt_ids"] + row["completion_ids"] == asked[number].ids, "other tokens than minitron's"
    trainer.train()
    places = {number: place for place, number in enumerate(order)}
    return {
        "reference_seconds": trainer.reference_seconds,
        "step_seconds": clock.ended - clock.begun,
        "before_mb": before,
        "reference": [seen[places[i]]["ref_logps"] for i in range(len(asked))],
    }


def spell(ids: list[int]) -> str:
    return "".join(f" <{i}>" for i in ids)


def words(vocab_size: int):
    """A tokenizer of transformers that reads what `spell` writes. Special tokens are cut out of a text first, so the name of no token may
    be part of another name."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({f"<{i}>": i for i in range(vocab_size)}, unk_token="<0>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=f"<{END}>", pad_token=f"<{PAD}>")


def hugging_face():
    """The SFT model's weights in transformers' Llama, fp32."""
    import transformers

    ours = sft_model()
    c = ours.config
    theirs = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=ours.vocab_size, hidden_size=c.d_model, intermediate_size=c.d_ff, num_hidden_layers=c.n_layers,
            num_attention_heads=c.n_heads, num_key_value_heads=c.n_kv_heads, max_position_embeddings=c.context,
            rms_norm_eps=c.norm_eps, rope_theta=c.rope_theta, tie_word_embeddings=True, attention_bias=False,
            bos_token_id=None, eos_token_id=END, pad_token_id=PAD,
        )
    )  # fmt: skip
    lacking = theirs.load_state_dict(ours.state_dict(), strict=False)
    assert lacking.missing_keys in ([], ["lm_head.weight"]), lacking
    assert not lacking.unexpected_keys, lacking
    torch.set_num_threads(parallel.cores())
    return theirs


def sft_model() -> LanguageModel:
    return checkpoint.load_model(checkpoint.finished(Path("runs/demo/sft"), "sft"))[0]


# ---- sampling answers


def prompts(count: int) -> list[list[int]]:
    """`count` prompts of the examples; if there are fewer, they are repeated from the start."""
    found = [e.ids[: e.prompt] for e in examples() if e.label]
    return [found[i % len(found)] for i in range(count)]


def draw_minitron(*, answers: int, rows: int, tokens: int, sampling: dict) -> dict:
    how = {"decoding": Decoding(END, BANNED, seed=1), "batch_rows": rows}
    model, asked, before = sft_model(), prompts(answers), peak_mb()
    generate(model, asked[: 2 * rows], sampling=Sampling(**sampling, max_tokens=2), **how)  # warm
    begun = time.perf_counter()
    found = generate(model, asked, sampling=Sampling(**sampling, max_tokens=tokens), **how)
    seconds = time.perf_counter() - begun
    greedy = generate(model, asked[:4], sampling=Sampling(temperature=0.0, max_tokens=8), **how)
    made = sum(len(answer.ids) for answer in found)
    return {"seconds": seconds, "tokens": made, "before_mb": before, "greedy": [a.ids for a in greedy]}


@torch.inference_mode()
def draw_hugging_face(*, answers: int, rows: int, tokens: int, sampling: dict) -> dict:
    """Runs transformers' `generate` on batches of prompts of similar length, padded on the left."""
    model = hugging_face().eval()
    model.generation_config.eos_token_id = None  # so that all answers have the same number of tokens
    asked, before = sorted(prompts(answers), key=len), peak_mb()

    def batch(some: list[list[int]], **how) -> torch.Tensor:
        width = max(map(len, some))
        ids = torch.tensor([[PAD] * (width - len(one)) + one for one in some])
        mask = torch.tensor([[0] * (width - len(one)) + [1] * len(one) for one in some])
        return model.generate(ids, attention_mask=mask, pad_token_id=PAD, **how)[:, width:]

    how = {"do_sample": True, "temperature": sampling["temperature"], "top_k": sampling.get("top_k", 0)}
    how |= {"top_p": sampling.get("top_p", 1.0)}
    batch(asked[:rows], max_new_tokens=2, **how)  # warm
    begun = time.perf_counter()
    made = sum(batch(asked[at : at + rows], max_new_tokens=tokens, **how).numel() for at in range(0, answers, rows))
    seconds = time.perf_counter() - begun
    greedy = batch(prompts(answers)[:4], do_sample=False, max_new_tokens=8, suppress_tokens=BANNED).tolist()
    return {"seconds": seconds, "tokens": made, "before_mb": before, "greedy": greedy}


WORK = {
    ("train", "minitron"): train_minitron,
    ("train", "hugging-face"): train_hugging_face,
    ("draw", "minitron"): draw_minitron,
    ("draw", "hugging-face"): draw_hugging_face,
}


def main(what: str, who: str, folder: str, how: str) -> None:
    os.chdir(folder)
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    warnings.simplefilter("ignore")
    with contextlib.redirect_stdout(sys.stderr):
        said = WORK[what, who](**json.loads(how))
    print(json.dumps(said | {"peak_mb": peak_mb()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
