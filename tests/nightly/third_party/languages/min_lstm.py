"""minLSTM by a parallel scan in log space, and step by step where one token comes alone."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn import Module, ModuleList


def exists(v):
    return v is not None


def heinsen_associative_scan_log(log_coeffs, log_values):
    a_star = log_coeffs.cumsum(dim=1)
    log_h0_plus_b_star = (log_values - a_star).logcumsumexp(dim=1)
    return (a_star + log_h0_plus_b_star).exp()


def g(x):
    return torch.where(x >= 0, x + 0.5, x.sigmoid())


def log_g(x):
    return torch.where(x >= 0, (F.relu(x) + 0.5).log(), -F.softplus(-x))


class MinLSTM(Module):
    def __init__(self, dim, expansion_factor=1.5):
        super().__init__()
        dim_inner = int(dim * expansion_factor)
        self.to_hidden_and_f_i_gate = nn.Linear(dim, dim_inner * 3, bias=False)
        self.to_out = nn.Linear(dim_inner, dim, bias=False)

    def forward(self, x, prev_hidden=None):
        hidden, f_gate, i_gate = self.to_hidden_and_f_i_gate(x).float().chunk(3, dim=-1)
        if x.shape[1] == 1:
            f_gate, i_gate = f_gate.sigmoid(), i_gate.sigmoid()
            total = f_gate + i_gate
            out = g(hidden) * (i_gate / total)
            if exists(prev_hidden):
                out = out + prev_hidden * (f_gate / total)
        else:
            diff = F.softplus(-f_gate) - F.softplus(-i_gate)
            log_f = -F.softplus(diff)
            log_i = -F.softplus(-diff)
            log_values = log_g(hidden) + log_i
            if exists(prev_hidden):
                log_values = torch.cat((prev_hidden.log(), log_values), dim=1)
                log_f = F.pad(log_f, (0, 0, 1, 0))
            out = heinsen_associative_scan_log(log_f, log_values)
            out = out[:, -x.shape[1] :]
        next_prev_hidden = out[:, -1:]
        return self.to_out(out.to(x.dtype)), next_prev_hidden


class RMSNorm(Module):
    def __init__(self, dim):
        super().__init__()
        self.scale = dim**0.5
        self.gamma = nn.Parameter(torch.zeros(dim))

    def forward(self, x):
        return F.normalize(x, dim=-1) * self.scale * (self.gamma + 1)


def FeedForward(dim, mult=4):
    return nn.Sequential(nn.Linear(dim, dim * mult), nn.GELU(), nn.Linear(dim * mult, dim))


class MinLSTMLM(Module):
    def __init__(self, *, vocab_size: int, dim: int = 32, depth: int = 2, ff_mult: int = 2):
        super().__init__()
        assert dim > 0 and depth > 0 and ff_mult > 0, "dim, depth and ff_mult must be positive"  # noqa: PT018
        self.token_emb = nn.Embedding(vocab_size, dim)
        self.layers = ModuleList(
            ModuleList([RMSNorm(dim), MinLSTM(dim), RMSNorm(dim), FeedForward(dim, ff_mult)])
            for _ in range(depth)
        )
        self.norm = RMSNorm(dim)
        self.to_logits = nn.Linear(dim, vocab_size, bias=False)

    def forward(self, tokens, prev_hiddens=None):
        x = self.token_emb(tokens.t())
        next_prev_hiddens = []
        prev_hiddens = iter(prev_hiddens if exists(prev_hiddens) else [])
        for norm, mingru, ff_norm, ff in self.layers:
            out, next_prev_hidden = mingru(norm(x), next(prev_hiddens, None))
            next_prev_hiddens.append(next_prev_hidden)
            x = out + x
            x = ff(ff_norm(x)) + x
        return self.to_logits(self.norm(x)).transpose(0, 1), next_prev_hiddens
