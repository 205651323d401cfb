"""Write tiny bundles with random weights and what Hugging Face's models compute from them.

Run: python internal/model/testdata/make_vectors.py [OUT [NAME ...]]      (needs torch and transformers 5)

This is the independent reference of the Go forward pass: LlamaForCausalLM (llama), Qwen3ForCausalLM (llama with
qk_norm), GPT2LMHeadModel (nanogpt), and for stream Lfm2ForCausalLM with a mask and a layer of its own, token by token.
It shares no code with minitron and knows the bundle from docs/formats.md only.
"""

import hashlib
import json
import pathlib
import sys
import zlib

import torch
import transformers

NAMES = {  # name of the directory -> its shape
    "llama": dict(arch="llama", n_layers=2, n_heads=4, n_kv_heads=4, qk_norm=False, bias=False, rope_theta=10000.0),
    "llama-grouped": dict(
        arch="llama", n_layers=2, n_heads=4, n_kv_heads=2, qk_norm=False, bias=False, rope_theta=500.0
    ),
    "llama-qknorm": dict(
        arch="llama", n_layers=2, n_heads=4, n_kv_heads=1, qk_norm=True, bias=False, rope_theta=10000.0
    ),
    "nanogpt": dict(arch="nanogpt", n_layers=2, n_heads=4, n_kv_heads=4, qk_norm=False, bias=False, rope_theta=10000.0),
    "nanogpt-bias": dict(
        arch="nanogpt", n_layers=2, n_heads=2, n_kv_heads=2, qk_norm=False, bias=True, rope_theta=10000.0
    ),
    "llama-imported": dict(  # heads that are together wider than d_model, and a head that is not the embedding
        arch="llama",
        n_layers=2,
        n_heads=3,
        n_kv_heads=1,
        head_dim=10,
        untied_head=True,
        qk_norm=True,
        bias=False,
        rope_theta=10000.0,
    ),
}
NAMES["stream"] = dict(
    arch="stream",
    n_layers=4,
    n_heads=4,
    n_kv_heads=2,
    layers=["conv", "window", "delta", "window"],
    window=12,
    conv_width=3,
    qk_norm=False,
    bias=False,
    rope_theta=10000.0,
)
TINY = dict(d_model=24, d_ff=40, vocab_size=272, context=64, norm_eps=1e-5)


def reference(shape, *, seed):
    """The Hugging Face model of a shape, random weights rounded to what weights.bin can hold, in float32."""
    torch.manual_seed(seed)
    tied = not shape.get("untied_head", False)
    common = dict(vocab_size=shape["vocab_size"], tie_word_embeddings=tied, attn_implementation="eager")
    if shape["arch"] == "stream":
        model = stream(shape, common)
    elif shape["arch"] == "nanogpt":
        model = transformers.GPT2LMHeadModel(
            transformers.GPT2Config(
                n_positions=shape["context"],
                n_embd=shape["d_model"],
                n_layer=shape["n_layers"],
                n_head=shape["n_heads"],
                n_inner=shape["d_ff"],
                activation_function="gelu",
                layer_norm_epsilon=shape["norm_eps"],
                **common,
            )
        )
    else:
        kind = "Qwen3" if shape["qk_norm"] else "Llama"
        config = getattr(transformers, kind + "Config")(
            hidden_size=shape["d_model"],
            intermediate_size=shape["d_ff"],
            num_hidden_layers=shape["n_layers"],
            num_attention_heads=shape["n_heads"],
            num_key_value_heads=shape["n_kv_heads"],
            head_dim=shape.get("head_dim", shape["d_model"] // shape["n_heads"]),
            max_position_embeddings=shape["context"],
            rms_norm_eps=shape["norm_eps"],
            attention_bias=False,
            mlp_bias=False,
            rope_parameters={"rope_type": "default", "rope_theta": shape["rope_theta"]},
            **common,
        )
        model = getattr(transformers, kind + "ForCausalLM")(config)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.normal_(std=0.2)
            if p.dim() == 2:
                p.copy_(p.half().float())
            elif name.endswith("bias"):
                p.mul_(1.0 if shape["bias"] else 0.0)
            elif p.dim() == 3:
                p.mul_(2.5)  # a convolution
            else:
                p.add_(1.0)
    return model.float().eval()


class Delta(torch.nn.Module):
    """The gated delta rule (arXiv 2412.06464, section 3) as it stands, in the place of an LFM2 convolution."""

    def __init__(self, shape):
        super().__init__()
        self.heads, dim = shape["n_heads"], shape["d_model"]
        self.dt = torch.nn.Parameter(torch.zeros(self.heads))
        self.log_a = torch.nn.Parameter(torch.zeros(self.heads))
        self.qkvg_proj = torch.nn.Linear(dim, 4 * dim, bias=False)
        self.ab_proj = torch.nn.Linear(dim, 2 * self.heads, bias=False)
        width = shape["conv_width"]
        self.conv = torch.nn.Conv1d(3 * dim, 3 * dim, width, groups=3 * dim, padding=width - 1, bias=False)
        self.norm = torch.nn.RMSNorm(dim // self.heads, eps=shape["norm_eps"])
        self.o_proj = torch.nn.Linear(dim, dim, bias=False)

    def forward(self, hidden_states, **_):
        length, dim = hidden_states.shape[1:]
        made = self.qkvg_proj(hidden_states)
        mixed = torch.nn.functional.silu(self.conv(made[..., : 3 * dim].mT)[..., :length].mT)
        query, key, value = (x.unflatten(-1, (self.heads, -1)) for x in mixed.split(dim, -1))
        query, key = (x / (x.square().sum(-1, keepdim=True) + 1e-6).sqrt() for x in (query, key))
        forget, write = self.ab_proj(hidden_states).split(self.heads, -1)
        decay = torch.exp(-self.log_a.exp() * torch.nn.functional.softplus(forget + self.dt))
        write = (write - 2).sigmoid()
        size = dim // self.heads
        state, found = torch.zeros(1, self.heads, size, size), []
        for t in range(length):
            k, b = key[:, t, :, :, None], write[:, t, :, None, None]
            state = decay[:, t, :, None, None] * (state - b * (state @ k) @ k.mT) + b * value[:, t, :, :, None] @ k.mT
            found.append((state @ query[:, t, :, :, None])[..., 0])
        read = self.norm(torch.stack(found, 1)).flatten(-2)
        return self.o_proj(read * torch.sigmoid(made[..., 3 * dim :]))


def stream(shape, common):
    """LFM2 whose attention sees a window, by its mask, and with Delta where there is one."""
    kinds = shape["layers"]
    config = transformers.Lfm2Config(
        hidden_size=shape["d_model"],
        intermediate_size=shape["d_ff"],
        block_auto_adjust_ff_dim=False,
        num_hidden_layers=shape["n_layers"],
        num_attention_heads=shape["n_heads"],
        num_key_value_heads=shape["n_kv_heads"],
        max_position_embeddings=shape["context"],
        layer_types=["full_attention" if kind == "window" else "conv" for kind in kinds],
        conv_L_cache=shape["conv_width"],
        conv_bias=False,
        norm_eps=shape["norm_eps"],
        rope_parameters={"rope_type": "default", "rope_theta": shape["rope_theta"]},
        **common,
    )
    model = transformers.Lfm2ForCausalLM(config)
    places = torch.arange(shape["context"])
    far = (places > places[:, None]) | (places <= places[:, None] - shape["window"])
    mask = torch.zeros(far.shape).masked_fill(far, float("-inf"))
    for kind, layer in zip(kinds, model.model.layers, strict=True):
        if kind == "delta":
            layer.conv = Delta(shape)
        if kind == "window":

            def windowed(hidden_states, seen=layer.self_attn.forward, **how):
                length = hidden_states.shape[1]
                return seen(hidden_states, **how | {"attention_mask": mask[None, None, :length, :length]})

            layer.self_attn.forward = windowed
    return model


# LFM2's names -> those of a stream's tensors; the order of a layer's is that of docs/formats.md.
STREAM_NAMES = {
    "operator_norm": "input_layernorm",
    "conv": "self_attn",
    "ffn_norm": "post_attention_layernorm",
    "feed_forward.w1": "mlp.gate_proj",
    "feed_forward.w3": "mlp.up_proj",
    "feed_forward.w2": "mlp.down_proj",
    "out_proj": "o_proj",
    "q_layernorm": "q_norm",
    "k_layernorm": "k_norm",
}
STREAM_ORDER = [
    "input_layernorm",
    "dt",
    "log_a",
    "in_proj",
    "qkvg_proj",
    "ab_proj",
    "conv",
    "q_proj",
    "k_proj",
    "v_proj",
    "norm",
    "o_proj",
    "q_norm",
    "k_norm",
    "post_",
]
STREAM_ORDER += ["gate_proj", "up_proj", "down_proj"]


def stream_tensors(model):
    """The same of a stream; what is no matrix is a row of numbers."""
    found = {}
    for name, t in model.state_dict().items():
        if name == "lm_head.weight":
            continue
        new = name.replace("embedding_norm", "norm")
        if ".layers." in name:
            head, rest = name[: name.index(".", 13) + 1], name[name.index(".", 13) + 1 :]
            for theirs, ours in STREAM_NAMES.items():
                rest = (
                    ours + rest[len(theirs) :]
                    if rest.startswith(theirs + ".")
                    else rest.replace(f".{theirs}.", f".{ours}.")
                )
            new = head + rest
        found[new] = t if t.dim() == 2 else t.flatten()

    def place(name):
        if ".layers." not in name:
            return (len(found), 0) if "norm" in name else (-1, 0)
        part = name.removesuffix(".weight").split(".")
        return int(part[2]), next(n for n, p in enumerate(STREAM_ORDER) if part[-1].startswith(p))

    return [(name, found[name]) for name in sorted(found, key=place)]


def tensors(model, shape):
    """(name, tensor) in the order of weights.bin."""
    if shape["arch"] == "stream":
        return stream_tensors(model)
    if shape["arch"] == "llama":
        return [(n, t) for n, t in model.state_dict().items() if n != "lm_head.weight" or "untied_head" in shape]
    result = []
    for name, t in model.state_dict().items():
        if name == "lm_head.weight" or name.endswith((".attn.bias", ".attn.masked_bias")):
            continue
        if name.endswith("bias") and not shape["bias"]:
            continue
        if t.dim() == 2 and ".h." in name:
            t = t.T  # GPT-2 keeps its matrices as [in, out]
        result.append((name, t))
    return result


def packed(matrix):
    """fp16 in panels of 16 rows, the last one filled up with zeros; within a panel column by column."""
    rows, cols = matrix.shape
    whole = torch.zeros(-(-rows // 16) * 16, cols, dtype=torch.float16)
    whole[:rows] = matrix.half()
    return whole.reshape(-1, 16, cols).transpose(1, 2).contiguous().numpy().tobytes()


def payload(data):
    return {"bytes": len(data), "crc32": f"{zlib.crc32(data):08x}", "sha256": hashlib.sha256(data).hexdigest()}


def vocab(size):
    marks = ["<unk>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]
    pieces = marks + [f"<0x{b:02X}>" for b in range(256)]
    pieces += [f"w{n}" for n in range(size - len(pieces))]
    return {
        "kind": "sentencepiece-bpe",
        "pieces": pieces,
        "scores": [0.0] * 261 + [-float(n) for n in range(size - 261)],
        "types": "UCCCC" + "B" * 256 + "N" * (size - 261),
        "unk_id": 0,
        "unk_surface": " \u2047 ",
        "byte_fallback": True,
        "normalizer": {
            "add_dummy_prefix": False,
            "remove_extra_whitespaces": False,
            "escape_whitespaces": True,
            "precompiled_charsmap": "",
        },
        "treat_whitespace_as_suffix": False,
        "chat": {"system": 1, "user": 2, "assistant": 3, "end": 4},
    }


@torch.no_grad()
def greedy(model, ids, steps):
    """Greedy ids among those that may be sampled (no unknown, no marker but the end), stopping before a near-tie."""
    out = []
    for _ in range(steps):
        top = model(torch.tensor([ids + out])).logits[0, -1, 4:].topk(2)
        if top.values[0] - top.values[1] < 0.05:
            break
        out.append(int(top.indices[0]) + 4)
    return out


def write(out, name, shape, *, seed, cases=()):
    model = reference(shape, seed=seed)
    blob, table, params = bytearray(), [], 0
    for tensor_name, t in tensors(model, shape):
        blob += bytes(-len(blob) % 64)
        data = packed(t) if t.dim() == 2 else t.float().numpy().tobytes()
        table.append(
            {
                "name": tensor_name,
                "dtype": "f16" if t.dim() == 2 else "f32",
                "shape": list(t.shape),
                "offset": len(blob),
                "bytes": len(data),
            }
        )
        blob += data
        params += 0 if "wpe" in tensor_name else t.numel()
    vocab_json = json.dumps(vocab(shape["vocab_size"]), separators=(",", ":")).encode()
    tests = []
    for ids in cases:
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0, -1].tolist()
        tests.append(
            {"ids": ids, "greedy": greedy(model, ids, 12), "logits": [float(f"{v:.6g}") for v in logits[:100]]}
        )
    config = {
        "format": "minitron-bundle",
        "version": 2,
        "name": name,
        "model": shape,
        "dtype": "f16",
        "params": params,
        "weights": payload(blob),
        "vocab": payload(vocab_json),
        "tensors": table,
        "chat": {"system": "", "greeting": ""},
        "sampling": {
            "temperature": 0.7,
            "top_k": 40,
            "top_p": 0.95,
            "min_p": 0.0,
            "repeat_penalty": 1.0,
            "max_tokens": 200,
        },
        "selftest": tests,
        "made": {"minitron": "0.1.0", "recipe": name, "stage": "sft", "date": "2026-11-20T15:00:00Z"},
    }
    folder = pathlib.Path(out) / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "weights.bin").write_bytes(blob)
    (folder / "vocab.json").write_bytes(vocab_json)
    before = json.dumps(config, separators=(",", ":")).removesuffix("}") + ","  # the checksum is of all before it
    (folder / "config.json").write_text(before + f'"crc32":"{zlib.crc32(before.encode()):08x}"}}\n')
    print(folder, params, len(blob), [len(t["greedy"]) for t in tests])


def main(args):
    out = args[0] if args else pathlib.Path(__file__).parent
    for seed, (name, shape) in enumerate(NAMES.items()):
        if args[1:] and name not in args[1:]:
            continue
        # One token; a few; more than two blocks of the prefill; the whole context but what greedy decoding adds.
        draw = torch.Generator().manual_seed(seed)
        cases = [torch.randint(0, TINY["vocab_size"], (n,), generator=draw).tolist() for n in (1, 5, 37, 50)]
        write(out, name, {**shape, **TINY}, seed=seed, cases=cases)


if __name__ == "__main__":
    main(sys.argv[1:])
