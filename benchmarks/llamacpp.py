"""llama.cpp as the program to compare with: `Peer` loads a GGUF file and times prefill and decode through llama.cpp's C functions.

Run as a program, it serves `Peer` over NDJSON, so that llama.cpp has a process of its own without torch:

    echo '{"gguf": "m.gguf", "context": 1024, "prompt": 256, "gen": 128, "threads": 2, "flash": true, "repeat": 3}' \\
        | .venv/bin/python benchmarks/llamacpp.py     ->  {"prefill_tps": ..., "decode_tps": ...}, medians

Timed is the same work as in `minitron-chat bench`: prefill is one call with the whole prompt that gives the logits of its last
token; decode is, for each token, the argmax of the logits (by numpy, microseconds) and a call with that one token.
"""

import ctypes
import json
import os
import re
import statistics
import sys
import time
from pathlib import Path

import numpy as np


def installed() -> str | None:
    """The version of llama-cpp-python, or None."""
    from importlib import metadata

    try:
        return metadata.version("llama-cpp-python")
    except metadata.PackageNotFoundError:
        return None


class Peer:
    """A loaded model with two contexts: with and without flash attention. The KV cache is F16; a context holds one sequence."""

    def __init__(self, path: Path, *, context: int):
        from llama_cpp import llama_cpp as api

        self.api = api
        self.quiet = api.llama_log_callback(lambda level, text, data: None)  # stored so that it stays alive: C calls it
        api.llama_log_set(self.quiet, ctypes.c_void_p(0))
        api.llama_backend_init()
        self.model = api.llama_model_load_from_file(str(path).encode(), api.llama_model_default_params())
        if not self.model:
            raise RuntimeError(f"llama.cpp does not load {path}")
        self.vocab_size = api.llama_vocab_n_tokens(api.llama_model_get_vocab(self.model))
        self.contexts = {}
        for flash in (False, True):
            how = api.llama_context_default_params()
            how.n_ctx = how.n_batch = context
            how.n_ubatch = 512  # llama.cpp's default; with 1,024 a prefill of 900 tokens was slower here
            how.flash_attn_type = api.LLAMA_FLASH_ATTN_TYPE_ENABLED if flash else api.LLAMA_FLASH_ATTN_TYPE_DISABLED
            how.no_perf = True
            self.contexts[flash] = api.llama_init_from_model(self.model, how)
            if not self.contexts[flash]:
                raise RuntimeError(f"llama.cpp makes no context for {path}")

    def close(self) -> None:
        for context in self.contexts.values():
            self.api.llama_free(context)
        self.api.llama_model_free(self.model)

    def start(self, *, flash: bool, threads: int = 1) -> None:
        """Empties the KV cache, and sets attention and threads for the next calls."""
        self.context = self.contexts[flash]
        self.api.llama_set_n_threads(self.context, threads, threads)
        self.api.llama_memory_clear(self.api.llama_get_memory(self.context), False)
        self.seen = None  # address of the last logits, and the array over that memory

    def feed(self, ids: ctypes.Array) -> np.ndarray:
        """Appends ids to the context. Returns the logits after the last one, (V,), which are valid until the next call."""
        if self.api.llama_decode(self.context, self.api.llama_batch_get_one(ids, len(ids))):
            raise RuntimeError("llama_decode failed")
        pointer = self.api.llama_get_logits_ith(self.context, -1)  # waits for the computation
        address = ctypes.addressof(pointer.contents)
        if not self.seen or self.seen[0] != address:
            self.seen = address, np.ctypeslib.as_array(pointer, (self.vocab_size,))
        return self.seen[1]

    def instructions(self) -> list[str]:
        """The instruction sets that this build uses here, as llama.cpp names them: AVX2, AVX512, ..."""
        said = self.api.llama_print_system_info().decode()
        return [name for name, there in re.findall(r"(\w+) = (\d)", said) if there == "1"]

    def logits(self, ids: list[int], *, flash: bool) -> np.ndarray:
        self.start(flash=flash)
        return self.feed((self.api.llama_token * len(ids))(*ids)).copy()

    def time(self, *, prompt: int, gen: int, flash: bool, threads: int) -> tuple[float, float]:
        """Tokens per second of prefill and of decode, from an empty cache."""
        self.start(flash=flash, threads=threads)
        ids = (self.api.llama_token * prompt)(*(i % self.vocab_size for i in range(prompt)))
        one = (self.api.llama_token * 1)()
        began = time.perf_counter()
        logits = self.feed(ids)
        read = time.perf_counter()
        for _ in range(gen):
            one[0] = int(logits.argmax())
            logits = self.feed(one)
        return prompt / (read - began), gen / (time.perf_counter() - read)


def serve() -> None:
    """Answers each line of stdin with a line of stdout. The model of the last request stays loaded."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the library prints to stdout must not look like an answer
    loaded, peer = None, None
    for line in sys.stdin:
        asked = json.loads(line)
        if loaded != asked["gguf"]:
            if peer:
                peer.close()
            loaded, peer = asked["gguf"], Peer(asked["gguf"], context=asked["context"])
        if asked.get("instructions"):
            said = {"instructions": peer.instructions()}
        elif "ids" in asked:
            said = {"logits": peer.logits(asked["ids"], flash=asked["flash"]).tolist()}
        else:
            how = {key: asked[key] for key in ("prompt", "gen", "flash", "threads")}
            pairs = [peer.time(**how) for _ in range(asked["repeat"])]
            said = dict(
                zip(("prefill_tps", "decode_tps"), map(statistics.median, zip(*pairs, strict=True)), strict=True)
            )
        print(json.dumps(said), file=answers, flush=True)


if __name__ == "__main__":
    serve()
