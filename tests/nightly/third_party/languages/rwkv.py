"""A time mix of receptance, weight, key and value: one tensor of five rows a layer is the whole state."""

import torch
from torch import nn


def token_shift(x, last):
    """Return x one step later, which begins with the last x of before: (B, T, C), (B, C)."""
    return torch.cat([last.unsqueeze(1), x[:, :-1]], dim=1)


class RWKV_TimeMix(nn.Module):
    def __init__(self, layer_id, n_layer, n_embd):
        super().__init__()
        ratio_0_to_1 = layer_id / max(1, n_layer - 1)
        ratio_1_to_almost0 = 1.0 - layer_id / n_layer
        h = torch.arange(n_embd) / max(1, n_embd - 1)
        self.time_decay = nn.Parameter(-5 + 8 * h ** (0.7 + 1.3 * ratio_0_to_1))
        zigzag = ((torch.arange(n_embd) + 1) % 3 - 1) * 0.5
        self.time_first = nn.Parameter(torch.ones(n_embd) * -1.2 + zigzag)
        x = torch.arange(n_embd).view(1, 1, n_embd) / n_embd
        self.time_mix_k = nn.Parameter(x**ratio_1_to_almost0)
        self.time_mix_v = nn.Parameter(x**ratio_1_to_almost0 + 0.3 * ratio_0_to_1)
        self.time_mix_r = nn.Parameter(x ** (0.5 * ratio_1_to_almost0))
        self.key = nn.Linear(n_embd, n_embd, bias=False)
        self.value = nn.Linear(n_embd, n_embd, bias=False)
        self.receptance = nn.Linear(n_embd, n_embd, bias=False)
        self.output = nn.Linear(n_embd, n_embd, bias=False)
        for layer in (self.key, self.receptance, self.output):
            nn.init.zeros_(layer.weight)

    def forward(self, x, last, aa, bb, pp):
        xx = token_shift(x, last)
        k = self.key(x * self.time_mix_k + xx * (1 - self.time_mix_k)).float()
        v = self.value(x * self.time_mix_v + xx * (1 - self.time_mix_v)).float()
        r = torch.sigmoid(self.receptance(x * self.time_mix_r + xx * (1 - self.time_mix_r)))
        w = -torch.exp(self.time_decay)
        wkv = []
        for t in range(x.shape[1]):
            kt, vt = k[:, t], v[:, t]
            ww = self.time_first + kt
            p = torch.maximum(pp, ww)
            e1, e2 = torch.exp(pp - p), torch.exp(ww - p)
            wkv.append((e1 * aa + e2 * vt) / (e1 * bb + e2))
            ww = pp + w
            p = torch.maximum(ww, kt)
            e1, e2 = torch.exp(ww - p), torch.exp(kt - p)
            aa, bb, pp = e1 * aa + e2 * vt, e1 * bb + e2, p
        y = torch.stack(wkv, dim=1).to(x.dtype)
        return self.output(r * y), x[:, -1], aa, bb, pp


class RWKV_ChannelMix(nn.Module):
    def __init__(self, layer_id, n_layer, n_embd):
        super().__init__()
        ratio_1_to_almost0 = 1.0 - layer_id / n_layer
        x = torch.arange(n_embd).view(1, 1, n_embd) / n_embd
        self.time_mix_k = nn.Parameter(x**ratio_1_to_almost0)
        self.time_mix_r = nn.Parameter(x**ratio_1_to_almost0)
        self.key = nn.Linear(n_embd, 4 * n_embd, bias=False)
        self.receptance = nn.Linear(n_embd, n_embd, bias=False)
        self.value = nn.Linear(4 * n_embd, n_embd, bias=False)
        for layer in (self.value, self.receptance):
            nn.init.zeros_(layer.weight)

    def forward(self, x, last):
        xx = token_shift(x, last)
        k = self.key(x * self.time_mix_k + xx * (1 - self.time_mix_k))
        k = torch.square(torch.relu(k))
        r = torch.sigmoid(self.receptance(x * self.time_mix_r + xx * (1 - self.time_mix_r)))
        return r * self.value(k), x[:, -1]


class Block(nn.Module):
    def __init__(self, layer_id, n_layer, n_embd):
        super().__init__()
        self.ln1 = nn.LayerNorm(n_embd)
        self.ln2 = nn.LayerNorm(n_embd)
        self.att = RWKV_TimeMix(layer_id, n_layer, n_embd)
        self.ffn = RWKV_ChannelMix(layer_id, n_layer, n_embd)

    def forward(self, x, state):
        y, x_att, aa, bb, pp = self.att(self.ln1(x), state[1], state[2], state[3], state[4])
        x = x + y
        y, x_ffn = self.ffn(self.ln2(x), state[0])
        rows = (x_ffn, x_att, aa, bb, pp)
        return x + y, torch.stack([row.to(state.dtype) for row in rows])


class RWKV(nn.Module):
    def __init__(self, *, vocab_size: int, n_layer: int = 2, n_embd: int = 32):
        super().__init__()
        if n_layer < 1 or n_embd < 1:
            raise ValueError(f"n_layer and n_embd must be at least 1 (got {n_layer} and {n_embd})")
        self.n_layer, self.n_embd = n_layer, n_embd
        self.emb = nn.Embedding(vocab_size, n_embd)
        nn.init.uniform_(self.emb.weight, -1e-4, 1e-4)
        self.ln0 = nn.LayerNorm(n_embd)
        self.blocks = nn.ModuleList(Block(i, n_layer, n_embd) for i in range(n_layer))
        self.ln_out = nn.LayerNorm(n_embd)
        self.head = nn.Linear(n_embd, vocab_size, bias=False)
        nn.init.orthogonal_(self.head.weight, gain=0.5)

    def init_state(self, x):
        state = x.new_zeros(self.n_layer * 5, x.shape[0], self.n_embd)
        state[4::5] = -1e30
        return state

    def forward(self, tokens, state=None):
        x = self.ln0(self.emb(tokens.mT))
        if state is None:
            state = self.init_state(x)
        rows = []
        for i, block in enumerate(self.blocks):
            x, row = block(x, state[5 * i : 5 * i + 5])
            rows.append(row)
        return self.head(self.ln_out(x)).transpose(0, 1), torch.cat(rows)
