"""`stream`: Llama's blocks with layers whose memory does not grow, so that a dialogue may be endless: after a hundred thousand tokens a
token takes the same time, and the state the same bytes, as after ten (docs/streaming.md).

`model.layers` chooses the layers: gated convolutions (`short_conv`), attention to a window (`window`), gated delta rules (`delta`).
`model.context` is the length of rows in training and does not limit what the model can read.
"""

from dataclasses import replace
from typing import Any

from torch import Tensor

from minitron.core.errors import MinitronError
from minitron.model import window
from minitron.model.delta import GatedDelta
from minitron.model.llama import Llama
from minitron.model.rope import rope_at
from minitron.model.shape import Block, Gguf, HuggingFace
from minitron.model.state import Pass
from minitron.recipe.kinds import LAYERS
from minitron.recipe.shapes import layer_kinds
from minitron.recipe.training import ModelConfig


class Stream(Llama):
    heads = (*Llama.heads, "qkvg_proj.weight")
    grows = False

    @classmethod
    def block_types(cls, config: ModelConfig) -> list[type[Block]]:
        return [LAYERS[kind].load() for kind in layer_kinds(config)]

    def queries_and_keys(self) -> list[tuple[Tensor, Tensor]]:
        rules = [block.self_attn for block in self.layers if isinstance(block.self_attn, GatedDelta)]
        return super().queries_and_keys() + [
            (weights[0], weights[1]) for rule in rules for weights in [rule.qkvg_proj.weight.chunk(4)]
        ]

    def rotations(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        return rope_at(positions, self.config)

    def prepared(self, step: Pass, x: Tensor) -> Pass:
        found = window.prepared(step, x, self.config.window)
        return found if step.spans is not None or self.whole_texts(step) else replace(found, restarts=step.positions)

    @staticmethod
    def whole_texts(step: Pass) -> bool:
        """Whether each row is known to be one text from its beginning; only checked where that is cheap, on a CPU without a state."""
        places = step.positions
        on_cpu = step.state is None and places.device.type == "cpu"
        return on_cpu and bool((places[:, 1:] > 0).all() and (places[:, 0] == 0).all())

    def gguf(self) -> Gguf:
        """GGUF's lfm2, in which a layer without key/value heads is a convolution. Raises MinitronError for layers that it lacks."""
        c, kinds = self.config, self._lfm2_layers("llama.cpp")
        hint = "use --format bundle, or --format hf"
        if "conv" not in kinds:
            raise MinitronError("LFM2 in llama.cpp has a `conv` at least, and this model has none", hint=hint)
        if c.n_heads * c.head_size != c.d_model:
            told = f"the heads of this model are together {c.n_heads * c.head_size} wide, in LFM2 in llama.cpp as wide as model.d_model"
            raise MinitronError(told, hint=hint)
        known = super().gguf()
        assert known
        names = known.names | {"norm": "token_embd_norm", "self_attn.in_proj": "shortconv.in_proj"}
        names |= {"self_attn.conv": "shortconv.conv"}
        names |= {f"{i}.self_attn.o_proj": "shortconv.out_proj" for i, kind in enumerate(kinds) if kind == "conv"}
        numbers = known.numbers | {"shortconv.l_cache": c.conv_width}
        numbers["attention.head_count_kv"] = [0 if kind == "conv" else c.n_kv_heads for kind in kinds]
        return Gguf("lfm2", known.norm_eps, names, numbers, unrounded=("shortconv.conv",))

    def hugging_face(self) -> HuggingFace:
        """transformers' Lfm2, which has convolutions and attention to all tokens. Raises MinitronError for layers that it lacks."""
        c, kinds = self.config, self._lfm2_layers("transformers")
        config: dict[str, Any] = {
            "model_type": "lfm2",
            "hidden_size": c.d_model,
            "intermediate_size": c.d_ff,
            "block_auto_adjust_ff_dim": False,
            "num_hidden_layers": c.n_layers,
            "num_attention_heads": c.n_heads,
            "num_key_value_heads": c.n_kv_heads,
            "head_dim": c.head_size,
            "max_position_embeddings": c.context,
            "layer_types": ["conv" if kind == "conv" else "full_attention" for kind in kinds],
            "conv_L_cache": c.conv_width,
            "conv_bias": False,
            "norm_eps": c.norm_eps,
            "rope_theta": c.rope_theta,  # where transformers before version 5 looks
            "rope_parameters": {"rope_type": "default", "rope_theta": c.rope_theta},
        }
        return HuggingFace("Lfm2ForCausalLM", config, names=self._lfm2_names(kinds))

    def _lfm2_layers(self, program: str) -> list[str]:
        """The kinds of the layers. Raises MinitronError if the program's LFM2 lacks one: it has convolutions and attention to all tokens."""
        c, kinds = self.config, layer_kinds(self.config)
        hint = "use --format bundle"
        if "delta" in kinds:
            told = f"layer {kinds.index('delta') + 1} of this model is a `delta`, for which {program} has no model"
            raise MinitronError(told, hint=f"{hint}, or train with model.layers of `conv` and `window`")
        if "window" in kinds and c.window < c.context:
            told = f"layer {kinds.index('window') + 1} of this model sees a window of {c.window} tokens, LFM2 in {program} all of them"
            raise MinitronError(told, hint=f"{hint}, or train with model.window = {c.context}, the context")
        if "window" not in kinds:
            raise MinitronError(f"LFM2 in {program} has a `window` at least, and this model has none", hint=hint)
        return kinds

    def _lfm2_names(self, kinds: list[str]) -> dict[str, str]:
        """Our names of weights -> Lfm2's."""
        others = {"input_layernorm": "operator_norm", "post_attention_layernorm": "ffn_norm", "o_proj": "out_proj"}
        others |= {"q_norm": "q_layernorm", "k_norm": "k_layernorm", "mlp": "feed_forward"}
        others |= {"gate_proj": "w1", "up_proj": "w3", "down_proj": "w2"}
        found = {"model.norm.weight": "model.embedding_norm.weight"}
        for number, (kind, block) in enumerate(zip(kinds, self.layers, strict=True)):
            for name, _ in block.named_parameters():
                parts = [others.get(part, part) for part in name.split(".")]
                if kind == "conv" and parts[0] == "self_attn":
                    parts[0] = "conv"
                found[f"model.layers.{number}.{name}"] = ".".join([f"model.layers.{number}", *parts])
        return found
