"""`delta`: the gated delta rule (Yang et al., arXiv 2412.06464). Each head has a matrix that is read with a query, forgets a little at
every token, and is corrected by the difference between the value that it gives for a key and the value that it should give.

    S_t = a_t S_{t-1} (I - b_t k_t k_tᵀ) + b_t v_t k_tᵀ        o_t = S_t q_t            (section 3.1, equation 10)

S is kept transposed here, (h, h) with keys as rows. The block is that of section 3.4: queries, keys and values pass through a short
convolution and SiLU, queries and keys are scaled to length 1, a_t = exp(-exp(A) softplus(a(x) + dt)), b_t = sigmoid(b(x) - 2). The
normed output is multiplied by the sigmoid of a gate, as in Kimi Delta Attention (arXiv 2510.26692): by SiLU, as in the first paper,
it is nearly nothing at first and of random sign, and small models hardly learn. Its state is S and the convolution's, however long
the text is. Knows nothing about other layers.

Letters in shapes: B rows, T tokens, D d_model, H heads, h a head's width, N chunks, c tokens of a chunk.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minitron.model.costs import FP32, Load
from minitron.model.llama import LlamaBlock
from minitron.model.norms import RMSNorm
from minitron.model.short_conv import CausalConv, ConvState
from minitron.model.state import LayerState, Pass
from minitron.recipe.training import ModelConfig

CHUNK = 64  # tokens that are computed together (benchmarks/streaming.py)
TIMESCALES = (64, 4096)  # initial memory of the first and the last head, in tokens
WRITE = -2.0  # added to b(x): at first a token writes an eighth of its value
EPS = 1e-6  # added to the squared lengths of queries and keys


class DeltaState(LayerState):
    """S of each head, (B, H, h, h) in fp32, and what the convolution keeps."""

    def __init__(self, matrices: Tensor, conv: ConvState):
        self.matrices, self.conv = matrices, conv

    def select(self, rows: Tensor) -> None:
        self.matrices = self.matrices[rows]
        self.conv.select(rows)

    @property
    def nbytes(self) -> int:
        return self.matrices.nbytes + self.conv.nbytes


class GatedDelta(nn.Module):
    def __init__(self, config: ModelConfig):
        super().__init__()
        self.heads, self.size = config.n_heads, config.head_size
        width = self.heads * self.size
        self.qkvg_proj = nn.Linear(config.d_model, 4 * width, bias=False)  # queries, keys, values, gate
        self.ab_proj = nn.Linear(config.d_model, 2 * self.heads, bias=False)  # a: what to forget, b: what to write
        self.conv = CausalConv(3 * width, config.conv_width)
        self.as_induction_head(width)
        self.norm = RMSNorm(self.size, config.norm_eps)
        self.o_proj = nn.Linear(width, config.d_model, bias=False)
        shares = torch.linspace(0, 1, self.heads) if self.heads > 1 else torch.full((1,), 0.5)
        first, last = TIMESCALES
        rates = 1 / (first * (last / first) ** shares)  # initial softplus(dt)
        self.dt = nn.Parameter(rates + torch.log(-torch.expm1(-rates)))  # (H,)
        self.log_a = nn.Parameter(torch.zeros(self.heads))  # (H,) A of the equation for a_t

    @torch.no_grad()
    def as_induction_head(self, width: int) -> None:
        """Sets the convolution's weights so that a key is made of the tokens before its own, a query of the newest ones, and a value of
        its own token alone. With keys that begin equal to queries (`fresh`) a query finds the token that came after the same ones
        earlier, as an induction head does (Olsson et al., arXiv 2209.11895); docs/training-notes.md says what that is worth."""
        self.conv.weight.fill_((self.conv.weight.shape[-1] - 1) ** -0.5)
        self.conv.weight[:width, :, 0] = 0.0  # queries, without the oldest token
        self.conv.weight[width : 2 * width, :, -1] = 0.0  # keys, without their own
        self.conv.weight[2 * width :] = 0.0
        self.conv.weight[2 * width :, :, -1] = 1.0

    def new_state(self, rows: int, slots: int, *, device: torch.device, dtype: torch.dtype) -> DeltaState:
        matrices = torch.zeros(rows, self.heads, self.size, self.size, device=device, dtype=torch.float32)
        return DeltaState(matrices, self.conv.new_state(rows, device=device, dtype=dtype))

    def forward(self, x: Tensor, step: Pass, state: LayerState | None) -> Tensor:
        width = self.heads * self.size
        qkv, gate = self.qkvg_proj(x).split((3 * width, width), dim=-1)
        ab = self.ab_proj(x)
        assert state is None or isinstance(state, DeltaState)
        read = self.read(qkv, ab, step, state)
        read, gate = step.keep(read), step.keep(gate)
        normed = self.norm(read.view(*read.shape[:-1], self.heads, self.size)).flatten(-2)
        out: Tensor = self.o_proj(normed * gate.sigmoid())
        return out

    def read(self, qkv: Tensor, ab: Tensor, step: Pass, state: DeltaState | None) -> Tensor:
        """qkv (B, T, 3 H h) before the convolution, ab (B, T, 2 H) -> what each token reads, (B, T, H h)."""
        if step.segments is not None:
            found: Tensor = step.segments.in_order(self._read, qkv, ab)
            return found
        return self._read(qkv, ab, step.restarts, state)

    def _read(
        self, qkv: Tensor, ab: Tensor, positions: Tensor | None = None, state: DeltaState | None = None
    ) -> Tensor:
        qkv = F.silu(self.conv(qkv, positions, state.conv if state is not None else None))
        with torch.autocast(qkv.device.type, enabled=False):
            parts = qkv.float().view(*qkv.shape[:2], 3, self.heads, self.size)
            query, key, value = parts.permute(2, 0, 3, 1, 4)  # (B, H, T, h)
            query, key = unit(query), unit(key)
            forget, write = ab.float().mT.chunk(2, dim=1)  # (B, H, T)
            log_decay = -self.log_a.exp()[:, None] * F.softplus(forget + self.dt[:, None])
            matrices = state.matrices if state is not None else None
            inputs = query, key, value, log_decay, (write + WRITE).sigmoid()
            if qkv.shape[1] == 1 and positions is not None:
                out, last = one_token(*inputs, positions=positions, matrices=matrices)
            else:
                out, last = in_chunks(*inputs, positions=positions, matrices=matrices)
        if state is not None:
            state.matrices = last
        return out.transpose(1, 2).flatten(2).to(qkv.dtype)

    @staticmethod
    def saved_bytes(config: ModelConfig, load: Load) -> dict[str, int]:
        """The projections' inputs and outputs; per head the c x c matrices and the h-wide vectors of a chunk and S between chunks; the
        rule's output; what the norm and the gate keep."""
        n, after, low, heads, size = load.tokens, load.after, load.low, config.n_heads, config.head_size
        width, chunks = heads * size, load.rows * -(-load.length // CHUNK)
        gated = 3 + (after < n)  # a copy of the gate too, if only some positions were picked from it
        in_chunk = 6 * CHUNK**2 + 12 * CHUNK * size + 9 * CHUNK + size**2
        return {
            "Linear's inputs": low * config.d_model * (2 if load.autocast else 1) * n,
            "delta rule": low * n * (7 * width + 2 * heads)
            + low * after * gated * width
            + FP32 * chunks * heads * in_chunk,
            "norms": RMSNorm.saved_bytes(size, after * heads, on_cuda=load.on_cuda),
        }

    @staticmethod
    def operations(config: ModelConfig) -> float:
        """Forward and backward, per token: 6 products with h x h for S, 8 with c x h in the chunk."""
        return 3.0 * config.n_heads * config.head_size * (6 * config.head_size + 8 * CHUNK)


class DeltaBlock(LlamaBlock):
    mixer = GatedDelta

    def parts(self) -> dict[str, nn.Module]:
        return {"delta rule": self.self_attn, "MLP": self.mlp}


def unit(x: Tensor) -> Tensor:
    """x (..., h) scaled to length 1."""
    return x * (x.square().sum(-1, keepdim=True) + EPS).rsqrt()


def one_token(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    log_decay: Tensor,
    write: Tensor,
    *,
    positions: Tensor,
    matrices: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """One step of the module's equation, for the next token of each row: query, key, value (B, H, 1, h), log_decay and write (B, H, 1),
    matrices (B, H, h, h) -> the output (B, H, 1, h) and the new matrices."""
    if matrices is None:
        matrices = query.new_zeros(*query.shape[:2], query.shape[-1], query.shape[-1])
    kept = log_decay.exp() * (positions > 0)[:, None]  # (B, H, 1)
    matrices = matrices * kept[..., None]
    change = write[..., None] * (value - key @ matrices)
    matrices = matrices + key.mT * change
    return query @ matrices, matrices


def in_chunks(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    log_decay: Tensor,
    write: Tensor,
    *,
    positions: Tensor | None,
    matrices: Tensor | None,
    chunk: int = CHUNK,
) -> tuple[Tensor, Tensor]:
    """`one_token` for many tokens: query, key, value (B, H, T, h), log_decay and write (B, H, T), positions (B, T) -> the output
    (B, H, T, h) and the matrices (B, H, h, h) after the last token. The steps within a chunk are solved as one triangular system
    (section 3.3: the UT transform extended by decays); S is passed from chunk to chunk. Without positions each row is one text from
    its beginning."""
    rows, heads, length, size = query.shape
    if fill := -length % chunk:  # padding tokens, which forget nothing and write nothing
        query, key, value = (F.pad(x, (0, 0, 0, fill)) for x in (query, key, value))
        log_decay, write = (F.pad(x, (0, fill)) for x in (log_decay, write))
    numbers = torch.arange(length + fill, device=query.device).view(-1, chunk)  # (N, c) places of the tokens
    ahead = numbers[0, :, None] < numbers[0]  # (c, c): True where a key is later than the query
    if positions is not None:
        # Where each token's text begins. A text's first token does not decay what is before it, which is masked out below.
        begins = numbers.flatten()[:length] - positions
        begins = torch.cat((begins, begins[:, -1:].expand(-1, fill)), 1).view(rows, 1, -1, chunk)
        log_decay = log_decay.masked_fill((begins == numbers).flatten(2), 0.0)
        ahead = ahead | (begins[..., None] != begins[..., None, :])  # (B, 1, N, c, c)
        from_before = begins < numbers[:, :1]  # (B, 1, N, c): S from the chunks before belongs to the same text
        to_the_end = begins == begins[..., -1:]
    query, key, value = (x.view(rows, heads, -1, chunk, size) for x in (query, key, value))
    write = write.view(rows, heads, -1, chunk, 1)
    total = log_decay.view(rows, heads, -1, chunk).cumsum(-1)  # (B, H, N, c) since the beginning of the chunk
    between = (total[..., None] - total[..., None, :]).masked_fill(ahead, float("-inf")).exp()  # (B, H, N, c, c)
    since, until = total.exp(), (total[..., -1:] - total).exp()
    if positions is not None:
        since, until = since * from_before, until * to_the_end
    # (I + lower triangle of b k kᵀ with decays) [U, W] = [b v, b k since]: the chunk writes U - W S, where S is from the chunks before
    system = (key * write) @ key.mT * between
    right = torch.cat((value * write, key * (write * since[..., None])), -1)
    solved = torch.linalg.solve_triangular(system, right, upper=False, unitriangular=True)
    written, taken = solved.split(size, -1)
    within = query @ key.mT * between
    query, key_out, kept = query * since[..., None], (key * until[..., None]).mT, since[..., -1:, None]
    state = matrices if matrices is not None else query.new_zeros(rows, heads, size, size)
    found = []
    # unbound, as the gradient of each [:, :, n] would be a tensor of all chunks
    parts = zip(*(x.unbind(2) for x in (query, within, written, taken, key_out, kept)), strict=True)
    for query_n, within_n, written_n, taken_n, key_out_n, kept_n in parts:
        new = written_n - taken_n @ state
        found.append(query_n @ state + within_n @ new)
        state = state * kept_n + key_out_n @ new
    return torch.cat(found, 2)[:, :, :length], state
