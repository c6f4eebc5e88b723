"""A selective state-space model in pure PyTorch: the state of a layer is a NamedTuple of two tensors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
import torch.nn as nn
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor


@dataclass
class ModelArgs:
    d_model: int
    n_layer: int
    vocab_size: int
    d_state: int = 4
    expand: int = 2
    dt_rank: int | str = "auto"
    d_conv: int = 4
    pad_vocab_size_multiple: int = 8

    def __post_init__(self):
        self.d_inner = int(self.expand * self.d_model)
        if self.dt_rank == "auto":
            self.dt_rank = math.ceil(self.d_model / 16)
        self.padded_vocab_size = -(-self.vocab_size // self.pad_vocab_size_multiple) * (
            self.pad_vocab_size_multiple
        )


class InferenceCache(NamedTuple):
    conv_state: Tensor  # (batch, d_inner, d_conv - 1)
    ssm_state: Tensor  # (batch, d_inner, d_state)


class RMSNorm(nn.Module):
    def __init__(self, d_model: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(d_model))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


class MambaBlock(nn.Module):
    def __init__(self, args: ModelArgs):
        super().__init__()
        self.args = args
        self.in_proj = nn.Linear(args.d_model, args.d_inner * 2, bias=False)
        self.conv1d = nn.Conv1d(args.d_inner, args.d_inner, args.d_conv, groups=args.d_inner)
        self.x_proj = nn.Linear(args.d_inner, args.dt_rank + args.d_state * 2, bias=False)
        self.dt_proj = nn.Linear(args.dt_rank, args.d_inner, bias=True)
        dt = torch.exp(torch.rand(args.d_inner) * (math.log(0.1) - math.log(0.001)) + math.log(0.001))
        with torch.no_grad():
            self.dt_proj.bias.copy_(dt + torch.log(-torch.expm1(-dt)))  # the inverse of softplus
        A = torch.arange(1, args.d_state + 1, dtype=torch.float32).repeat(args.d_inner, 1)
        self.A_log = nn.Parameter(torch.log(A))
        self.D = nn.Parameter(torch.ones(args.d_inner))
        self.out_proj = nn.Linear(args.d_inner, args.d_model, bias=False)

    def allocate_inference_cache(self, u):
        b = u.shape[0]
        return InferenceCache(
            u.new_zeros(b, self.args.d_inner, self.args.d_conv - 1),
            u.new_zeros(b, self.args.d_inner, self.args.d_state),
        )

    def forward(self, u, cache: InferenceCache):
        x, res = self.in_proj(u).chunk(2, dim=-1)  # (b, l, d_inner) each
        x = torch.cat((cache.conv_state.to(x.dtype), x.transpose(1, 2)), dim=-1)
        conv_state = x[:, :, x.shape[-1] - self.args.d_conv + 1 :]
        x = F.silu(self.conv1d(x).transpose(1, 2))
        y, ssm_state = self.ssm(x, cache.ssm_state)
        return self.out_proj(y * F.silu(res)), InferenceCache(conv_state, ssm_state)

    def ssm(self, x, h):
        A = -torch.exp(self.A_log)
        sizes = [self.args.dt_rank, self.args.d_state, self.args.d_state]
        delta, B, C = self.x_proj(x).split(sizes, dim=-1)
        delta = F.softplus(self.dt_proj(delta))  # (b, l, d_inner)
        deltaA = torch.exp(delta.unsqueeze(-1) * A)  # (b, l, d_inner, n)
        deltaB_u = delta.unsqueeze(-1) * B.unsqueeze(2) * x.unsqueeze(-1)
        ys = []
        for i in range(x.shape[1]):
            h = deltaA[:, i] * h + deltaB_u[:, i]
            ys.append((h * C[:, i].unsqueeze(1)).sum(-1))
        return torch.stack(ys, dim=1) + x * self.D, h


class ResidualBlock(nn.Module):
    def __init__(self, args: ModelArgs):
        super().__init__()
        self.mixer = MambaBlock(args)
        self.norm = RMSNorm(args.d_model)

    def forward(self, x, cache):
        y, cache = self.mixer(self.norm(x), cache)
        return x + y, cache


class Mamba(nn.Module):
    """Wrapped for zoo: keyword arguments, time first, and logits of the real vocabulary."""

    def __init__(
        self,
        *,
        vocab_size: int,
        d_model: Annotated[int, Meta(ge=1)] = 32,
        n_layer: Annotated[int, Meta(ge=1)] = 2,
    ):
        super().__init__()
        self.args = ModelArgs(d_model=d_model, n_layer=n_layer, vocab_size=vocab_size)
        self.embedding = nn.Embedding(self.args.padded_vocab_size, d_model)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.layers = nn.ModuleList([ResidualBlock(self.args) for _ in range(n_layer)])
        self.norm_f = RMSNorm(d_model)
        self.lm_head = nn.Linear(d_model, self.args.padded_vocab_size, bias=False)
        self.lm_head.weight = self.embedding.weight

    def forward(self, tokens, state=None):
        x = self.embedding(tokens.transpose(0, 1))
        if state is None:
            state = [layer.mixer.allocate_inference_cache(x) for layer in self.layers]
        caches = []
        for layer, cache in zip(self.layers, state, strict=True):
            x, cache = layer(x, cache)
            caches.append(cache)
        logits = self.lm_head(self.norm_f(x))[..., : self.args.vocab_size]
        return logits.transpose(0, 1), caches
