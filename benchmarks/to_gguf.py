"""A minitron model as a GGUF file (F16, Q8_0 or Q4_0), so that llama.cpp can be measured on the very same weights.

Run: .venv/bin/python benchmarks/to_gguf.py. That proves the conversion: small models of both shapes, with weights so large that
no detail stays hidden, give the same logits in torch and in llama.cpp. Needs llama-cpp-python for that and nothing to write.

Every matrix is of the file's type, the token embedding (it is also the head) included; vectors are F32. `nanogpt` becomes
GGUF's `gpt2`, which wants biases (zeros, where there are none) and has tanh's GELU for erf's; `llama` becomes `llama`, which
pairs element 2i of a head with 2i + 1 where minitron pairs i with i + h/2. Knows nothing about vocabularies: there is none
in the file.
"""

import struct
import sys
from pathlib import Path

import numpy as np
import torch

from minitron.model.language_model import LanguageModel
from minitron.recipe.schema import ModelConfig

ALIGN = 32  # bytes; every tensor begins at a multiple of it, counted from the first
F32, F16, Q4_0, Q8_0 = 0, 1, 2, 8  # GGML's numbers for tensor types
UINT32, FLOAT32, STRING = 4, 6, 8  # GGUF's numbers for metadata types
TYPES = {"f16": F16, "q8": Q8_0, "q4": Q4_0}

GPT2_NAMES = {"ln_1": "attn_norm", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output"}
GPT2_NAMES |= {"ln_2": "ffn_norm", "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down"}
GPT2_NAMES |= {"wte": "token_embd", "wpe": "position_embd", "ln_f": "output_norm"}
LLAMA_NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v"}
LLAMA_NAMES |= {
    "self_attn.o_proj": "attn_output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
LLAMA_NAMES |= {"mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
LLAMA_NAMES |= {"embed_tokens": "token_embd", "norm": "output_norm"}


def write(path: Path, model: LanguageModel, *, dtype: str) -> None:
    """Writes the model; `dtype` is minitron's word, f16, q8 or q4."""
    about = metadata(model, dtype)
    table, blob = bytearray(), bytearray()
    named = tensors(model)
    for name, values in named.items():
        kind = F32 if values.ndim == 1 else F16 if name == "position_embd.weight" else TYPES[dtype]
        blob += bytes(-len(blob) % ALIGN)
        sizes = values.shape[::-1]  # GGML names the fastest dimension first
        table += text(name) + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, kind, len(blob))
        blob += packed(values, kind)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(named), len(about))
    head += b"".join(text(key) + value for key, value in about.items()) + table
    path.write_bytes(head + bytes(-len(head) % ALIGN) + blob)


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def metadata(model: LanguageModel, dtype: str) -> dict[str, bytes]:
    """GGUF's keys with their typed values."""
    m = model.config
    arch = "gpt2" if m.arch == "nanogpt" else "llama"
    numbers = {"context_length": m.context, "embedding_length": m.d_model, "block_count": m.n_layers}
    numbers |= {"feed_forward_length": m.d_ff, "attention.head_count": m.n_heads, "vocab_size": model.vocab_size}
    norm = "attention.layer_norm_epsilon"
    if arch == "llama":
        norm = "attention.layer_norm_rms_epsilon"
        numbers |= {"attention.head_count_kv": m.n_kv_heads, "rope.dimension_count": m.d_model // m.n_heads}
    about = {key: struct.pack("<II", UINT32, value) for key, value in numbers.items()}
    about[norm] = struct.pack("<If", FLOAT32, m.norm_eps)
    if arch == "llama":
        about["rope.freq_base"] = struct.pack("<If", FLOAT32, m.rope_theta)
    words = {"general.architecture": arch, "tokenizer.ggml.model": "no_vocab"}
    whole = {key: struct.pack("<I", STRING) + text(value) for key, value in words.items()}
    file_type = {"f16": 1, "q8": 7, "q4": 2}[dtype]  # GGUF's numbers for files
    whole["general.file_type"] = struct.pack("<II", UINT32, file_type)
    return whole | {f"{arch}.{key}": value for key, value in about.items()}


def tensors(model: LanguageModel) -> dict[str, np.ndarray]:
    """GGUF's names with their values in fp32; matrices are [out, in]."""
    names = GPT2_NAMES if model.config.arch == "nanogpt" else LLAMA_NAMES
    found = {}
    for name, parameter in model.named_parameters():
        parts = name.split(".")[1:]  # without "transformer" or "model"
        layer = f"blk.{parts[1]}." if parts[0] in ("h", "layers") else ""
        inner = ".".join(parts[2:-1] if layer else parts[:-1])
        if inner not in names:
            raise ValueError(f"GGUF's {model.config.arch} has no {name}")
        values = parameter.detach().float().numpy()
        if names[inner] in ("attn_q", "attn_k"):
            values = neighbours(values, model.config.d_model // model.config.n_heads)
        found[f"{layer}{names[inner]}.{parts[-1]}"] = values
    if model.config.arch == "nanogpt":
        for name in [n for n in found if n.endswith(".weight") and not n.endswith("_embd.weight")]:
            found.setdefault(name.removesuffix("weight") + "bias", np.zeros(found[name].shape[0], np.float32))
    return found


def neighbours(values: np.ndarray, size: int) -> np.ndarray:
    """Rows of heads of `size`, so that what turned together as i and i + size/2 is now 2i and 2i + 1."""
    heads = values.reshape(-1, 2, size // 2, values.shape[1])
    return heads.swapaxes(1, 2).reshape(values.shape)


def packed(values: np.ndarray, kind: int) -> bytes:
    """The bytes of a tensor of this GGML type; blocks of Q4_0 and Q8_0 are 32 values of a row."""
    if kind in (F32, F16):
        return values.astype(np.float32 if kind == F32 else np.float16).tobytes()
    blocks = values.reshape(-1, 32)
    rows = np.arange(len(blocks))
    largest = blocks[rows, np.abs(blocks).argmax(1)]  # with its sign
    scale = np.abs(largest) / 127 if kind == Q8_0 else largest / -8
    inverse = np.divide(1, scale, out=np.zeros_like(scale), where=scale != 0)
    scaled = blocks * inverse[:, None]
    if kind == Q8_0:
        codes = np.rint(scaled).astype(np.int8).view(np.uint8)
    else:
        codes = np.minimum(np.trunc(scaled + 8.5), 15).astype(np.uint8)
        codes = codes[:, :16] | codes[:, 16:] << 4
    return np.hstack((scale.astype("<f2")[:, None].view(np.uint8), codes)).tobytes()


def prove() -> None:
    """Prints the largest difference of F16 logits for shapes that use every part of the conversion; ends with 1 if large."""
    import tempfile

    import llamacpp

    small = {"n_layers": 3, "n_heads": 4, "n_kv_heads": 4, "d_model": 128, "d_ff": 384}
    shapes = {
        "nanogpt": ModelConfig(arch="nanogpt", **small),
        "nanogpt, biases": ModelConfig(arch="nanogpt", bias=True, **small),
        "llama": ModelConfig(rope_theta=500.0, **small),
        "llama, grouped": ModelConfig(**small | {"n_kv_heads": 2}),
    }
    ids = torch.randint(512, (1, 200), generator=torch.Generator().manual_seed(1))
    largest = 0.0
    for name, shape in shapes.items():
        torch.manual_seed(1)
        model = LanguageModel(shape, 512).eval()
        with torch.inference_mode(), tempfile.TemporaryDirectory() as folder:
            for tensor in model.parameters():  # attention that looks somewhere, norms and biases that do something
                tensor.add_(torch.randn_like(tensor) * (0.1 if tensor.ndim == 2 else 0.3))
                tensor.copy_(tensor.half().float())
            path = Path(folder) / "model.gguf"
            write(path, model, dtype="f16")
            want = model(ids)[0, -1].numpy()
            for flash in (False, True):
                gap = np.abs(llamacpp.Peer(path, context=256).logits(ids[0].tolist(), flash=flash) - want).max()
                print(f"{name:<16} flash attention {flash!s:<6} {gap:.4f} of logits spread by {want.std():.2f}")
                largest = max(largest, gap)
    sys.exit(int(largest > 0.02))


if __name__ == "__main__":
    prove()
