"""The model: DeepSeek-V3's architecture, small, in plain PyTorch.

Attention is MLA (low-rank queries, one latent for keys and values, a rotary part beside it); feed-forward is dense
in the first layer and a mixture of experts after it, chosen by sigmoid scores within a limited number of groups.
Names follow the GGUF tensors they become. The expert bias is no parameter: `balance` moves it, gradients never do.
"""

import math
from dataclasses import asdict, dataclass

import torch
from torch import nn
from torch.nn import functional as F


@dataclass
class Shape:
    vocab: int
    layers: int = 4
    dense_layers: int = 1
    d_model: int = 160
    heads: int = 4
    q_rank: int = 96
    kv_rank: int = 64
    d_nope: int = 32
    d_rope: int = 32
    d_value: int = 32
    d_ff: int = 384
    experts: int = 8
    experts_used: int = 2
    groups: int = 4
    groups_used: int = 2
    d_expert: int = 96
    expert_scale: float = 2.5
    rope_base: float = 10000.0
    norm_eps: float = 1e-6

    def as_dict(self):
        return asdict(self)


class Norm(nn.Module):
    """RMS norm."""

    def __init__(self, width, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


def rotate(x, cos, sin):
    """Rotary positions on neighbouring pairs, as llama.cpp does for this architecture."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


class Attention(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.s = s
        self.q_a = nn.Linear(s.d_model, s.q_rank, bias=False)
        self.q_a_norm = Norm(s.q_rank, s.norm_eps)
        self.q_b = nn.Linear(s.q_rank, s.heads * (s.d_nope + s.d_rope), bias=False)
        self.kv_a = nn.Linear(s.d_model, s.kv_rank + s.d_rope, bias=False)
        self.kv_a_norm = Norm(s.kv_rank, s.norm_eps)
        self.kv_b = nn.Linear(s.kv_rank, s.heads * (s.d_nope + s.d_value), bias=False)
        self.output = nn.Linear(s.heads * s.d_value, s.d_model, bias=False)

    def forward(self, x, cos, sin, mask):
        s = self.s
        b, t, _ = x.shape
        q = self.q_b(self.q_a_norm(self.q_a(x))).view(b, t, s.heads, s.d_nope + s.d_rope).transpose(1, 2)
        q_nope, q_rope = q.split((s.d_nope, s.d_rope), -1)
        latent, k_rope = self.kv_a(x).split((s.kv_rank, s.d_rope), -1)
        kv = self.kv_b(self.kv_a_norm(latent)).view(b, t, s.heads, s.d_nope + s.d_value).transpose(1, 2)
        k_nope, value = kv.split((s.d_nope, s.d_value), -1)
        k_rope = rotate(k_rope, cos, sin).unsqueeze(1).expand(-1, s.heads, -1, -1)
        query = torch.cat((q_nope, rotate(q_rope, cos, sin)), -1)
        key = torch.cat((k_nope, k_rope), -1)
        # One fused call: on a CPU the passes over the score matrix cost more than the products.
        scores = torch.baddbmm(
            mask.expand(b * s.heads, t, t),
            query.reshape(b * s.heads, t, -1),
            key.reshape(b * s.heads, t, -1).transpose(-1, -2),
            alpha=1 / math.sqrt(s.d_nope + s.d_rope),
        )
        mixed = (scores.softmax(-1) @ value.reshape(b * s.heads, t, -1)).view(b, s.heads, t, s.d_value)
        return self.output(mixed.transpose(1, 2).reshape(b, t, s.heads * s.d_value))


class Dense(nn.Module):
    def __init__(self, d_model, d_ff):
        super().__init__()
        self.gate = nn.Linear(d_model, d_ff, bias=False)
        self.up = nn.Linear(d_model, d_ff, bias=False)
        self.down = nn.Linear(d_ff, d_model, bias=False)

    def forward(self, x):
        return self.down(F.silu(self.gate(x)) * self.up(x))


class Experts(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.s = s
        self.router = nn.Parameter(torch.empty(s.experts, s.d_model))
        self.register_buffer("bias", torch.zeros(s.experts))
        self.gate = nn.Parameter(torch.empty(s.experts, s.d_expert, s.d_model))
        self.up = nn.Parameter(torch.empty(s.experts, s.d_expert, s.d_model))
        self.down = nn.Parameter(torch.empty(s.experts, s.d_model, s.d_expert))
        self.shared = Dense(s.d_model, s.d_expert)
        self.load = torch.zeros(s.experts)

    def choose(self, x):
        """Ids and weights of the experts of each token: bias decides who, the plain scores decide how much."""
        s = self.s
        scores = F.linear(x, self.router).sigmoid()
        with torch.no_grad():
            wanted = scores + self.bias
            grouped = wanted.view(-1, s.groups, s.experts // s.groups)
            best = grouped.topk(2, -1).values.sum(-1).topk(s.groups_used, -1).indices
            allowed = torch.zeros(x.shape[0], s.groups, dtype=torch.bool).scatter_(1, best, True)
            allowed = allowed.unsqueeze(-1).expand_as(grouped).reshape(x.shape[0], s.experts)
            chosen = wanted.masked_fill(~allowed, -math.inf).topk(s.experts_used, -1).indices
        weights = scores.gather(1, chosen)
        return chosen, weights / (weights.sum(-1, keepdim=True) + 1e-20) * s.expert_scale

    def forward(self, x):
        flat = x.reshape(-1, x.shape[-1])
        chosen, weights = self.choose(flat)
        if self.training:
            self.load += torch.bincount(chosen.flatten(), minlength=self.s.experts)
        out = self.shared(flat)
        for e in range(self.s.experts):
            token, slot = (chosen == e).nonzero(as_tuple=True)
            if token.numel() == 0:
                continue
            h = flat[token]
            h = F.silu(h @ self.gate[e].t()) * (h @ self.up[e].t())
            out = out.index_add(0, token, (h @ self.down[e].t()) * weights[token, slot].unsqueeze(-1))
        return out.view_as(x)

    def balance(self, load, speed):
        """Moves the bias a little against the load: overloaded experts become less wanted."""
        self.bias += speed * torch.sign(load.mean() - load)


class Block(nn.Module):
    def __init__(self, s, is_dense):
        super().__init__()
        self.attn_norm = Norm(s.d_model, s.norm_eps)
        self.attn = Attention(s)
        self.ffn_norm = Norm(s.d_model, s.norm_eps)
        self.ffn = Dense(s.d_model, s.d_ff) if is_dense else Experts(s)

    def forward(self, x, cos, sin, mask):
        x = x + self.attn(self.attn_norm(x), cos, sin, mask)
        return x + self.ffn(self.ffn_norm(x))


class Model(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.s = s
        self.embed = nn.Embedding(s.vocab, s.d_model)
        self.blocks = nn.ModuleList(Block(s, i < s.dense_layers) for i in range(s.layers))
        self.norm = Norm(s.d_model, s.norm_eps)
        self.head = nn.Linear(s.d_model, s.vocab, bias=False)
        for name, p in self.named_parameters():
            if p.dim() > 1:
                deep = name.endswith(("output.weight", "down", "down.weight"))
                nn.init.normal_(p, std=(0.02 if "embed" in name else p.shape[-1] ** -0.5 * (0.4 if deep else 0.8)))

    def hidden(self, ids):
        s = self.s
        t = ids.shape[1]
        freq = s.rope_base ** (-torch.arange(0, s.d_rope, 2, dtype=torch.float64) / s.d_rope)
        angle = torch.arange(t, dtype=torch.float64).unsqueeze(1) * freq
        cos, sin = angle.cos().float(), angle.sin().float()
        mask = torch.full((t, t), -math.inf).triu(1)
        x = self.embed(ids)
        for block in self.blocks:
            # Heads are a dimension of their own inside; the tables broadcast over them.
            x = block(x, cos, sin, mask)
        return self.norm(x)

    def forward(self, ids):
        return self.head(self.hidden(ids))

    def experts(self):
        return [b.ffn for b in self.blocks if isinstance(b.ffn, Experts)]
