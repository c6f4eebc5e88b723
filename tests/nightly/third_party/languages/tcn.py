"""A temporal convolutional network: dilated causal convolutions, no state, and so a window of tokens."""

import torch.nn as nn
from torch.nn.utils.parametrizations import weight_norm


class Chomp1d(nn.Module):
    def __init__(self, chomp_size):
        super().__init__()
        self.chomp_size = chomp_size

    def forward(self, x):
        return x[:, :, : -self.chomp_size].contiguous()


class TemporalBlock(nn.Module):
    def __init__(self, n_inputs, n_outputs, kernel_size, dilation, dropout=0.2):
        super().__init__()
        padding = (kernel_size - 1) * dilation
        layers = []
        for n_in in (n_inputs, n_outputs):
            conv = nn.Conv1d(n_in, n_outputs, kernel_size, padding=padding, dilation=dilation)
            conv.weight.data.normal_(0, 0.1)
            layers += [weight_norm(conv), Chomp1d(padding), nn.ReLU(), nn.Dropout(dropout)]
        self.net = nn.Sequential(*layers)
        self.downsample = nn.Conv1d(n_inputs, n_outputs, 1) if n_inputs != n_outputs else None
        self.relu = nn.ReLU()

    def forward(self, x):
        out = self.net(x)
        res = x if self.downsample is None else self.downsample(x)
        return self.relu(out + res)


class TCN(nn.Module):
    def __init__(
        self,
        *,
        vocab_size: int,
        emb_size: int = 24,
        num_channels: tuple[int, ...] = (32, 32),
        kernel_size: int = 3,
        dropout: float = 0.1,
    ):
        super().__init__()
        if kernel_size < 2 or not num_channels:
            raise ValueError("kernel_size must be at least 2, and num_channels name a layer or more")
        self.drop = nn.Dropout(dropout)
        self.encoder = nn.Embedding(vocab_size, emb_size)
        sizes = [emb_size, *num_channels]
        self.tcn = nn.Sequential(
            *[
                TemporalBlock(n_in, n_out, kernel_size, 2**i, dropout)
                for i, (n_in, n_out) in enumerate(zip(sizes[:-1], num_channels, strict=True))
            ]
        )
        self.decoder = nn.Linear(num_channels[-1], vocab_size)
        self.init_weights()

    def init_weights(self):
        initrange = 0.1
        self.encoder.weight.data.uniform_(-initrange, initrange)
        self.decoder.bias.data.fill_(0)
        self.decoder.weight.data.uniform_(-initrange, initrange)

    def forward(self, tokens, state=None):
        emb = self.drop(self.encoder(tokens.t()))
        y = self.tcn(emb.transpose(1, 2)).transpose(1, 2)
        return self.decoder(y).transpose(0, 1).contiguous(), None
