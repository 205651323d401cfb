"""llama.cpp as a second opinion, where xllamacpp (wheels of its server) is installed: ids and probabilities of a GGUF file."""

import json
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest


class LlamaCpp:
    """llama.cpp's server with a file, on a port of the loopback. Knows nothing of minitron."""

    def __init__(self, path: Path, *, context: int = 128):
        library = pytest.importorskip("xllamacpp", reason="needs: pip install xllamacpp")
        params = library.CommonParams()
        params.model.path = str(path)
        params.n_ctx, params.n_parallel, params.n_predict = context, 1, 1
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 2
        params.use_jinja, params.warmup, params.verbosity = True, False, -1
        params.port = 0
        self.server = library.Server(params)
        self.address = self.server.listening_address

    def ask(self, path: str, **body: Any) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{self.address}/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)

    def ids(self, text: str, *, markers: bool = False) -> list[int]:
        """Ids of a text; with `markers`, chat markers in the text become marker tokens."""
        return self.ask("tokenize", content=text, add_special=False, parse_special=markers)["tokens"]

    def prompt(self, messages: list[dict[str, str]]) -> str:
        """What the file's chat template makes of a dialogue."""
        return self.ask("apply-template", messages=messages)["prompt"]

    def log_probabilities(self, ids: list[int], vocab_size: int) -> np.ndarray:
        """(V,) fp32: log-probabilities of the next token; -inf for tokens that the server does not list."""
        # The server shows probabilities only if the token that it writes is a whole character, so the bias makes it write "a". The
        # probabilities are those of the logits without the bias.
        how = {"n_predict": 1, "n_probs": vocab_size, "cache_prompt": False, "logit_bias": [[self.ids("a")[0], 100.0]]}
        (first,) = self.ask("completion", prompt=ids, **how)["completion_probabilities"]
        found = np.full(vocab_size, -np.inf, np.float32)
        for token in first["top_logprobs"]:
            found[token["id"]] = token["logprob"]
        return found

    def answer(self, ids: list[int], most: int, *, never: list[int]) -> list[int]:
        """The greedy ids after a prompt, without the end marker; ids in `never` are not sampled."""
        how = {"n_predict": most, "temperature": 0.0, "return_tokens": True, "cache_prompt": False}
        return self.ask("completion", prompt=ids, logit_bias=[[i, False] for i in never], **how)["tokens"]
