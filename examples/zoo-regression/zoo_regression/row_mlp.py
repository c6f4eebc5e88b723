"""The architecture."""

from torch import nn


class RowMLP(nn.Module):
    """Map rows (B, F) to scaled numbers (B, K)."""

    def __init__(self, *, num_features: int, num_targets: int, hidden_size: int = 64) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Linear(num_features, hidden_size), nn.ReLU(), nn.Linear(hidden_size, hidden_size), nn.ReLU()
        )
        self.head = nn.Linear(hidden_size, num_targets)

    def forward(self, rows):
        """Return the numbers for each row."""
        return self.head(self.features(rows))
