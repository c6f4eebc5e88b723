"""The architecture."""

from torch import nn


class QuantileMLP(nn.Module):
    """Map histories (B, T) to quantiles (B, H, Q) of the next H values."""

    def __init__(self, *, history: int, horizon: int, num_quantiles: int, hidden_size: int = 64) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Linear(history, hidden_size), nn.ReLU(), nn.Linear(hidden_size, hidden_size), nn.ReLU()
        )
        self.head = nn.Linear(hidden_size, horizon * num_quantiles)
        self.shape = horizon, num_quantiles

    def forward(self, histories):
        """Return the quantiles of each hour, in ascending order, which never increases their loss."""
        outputs = self.head(self.features(histories)).unflatten(1, self.shape)
        return outputs.sort(2).values
