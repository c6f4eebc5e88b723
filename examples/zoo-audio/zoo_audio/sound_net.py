"""The architecture."""

from torch import nn


class SoundNet(nn.Module):
    """Map recordings (B, T) to logits (B, K)."""

    def __init__(self, *, num_samples: int, num_classes: int, width: int = 32) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv1d(1, width, 64, stride=8, padding=32),
            nn.ReLU(),
            nn.Conv1d(width, width, 9, stride=4, padding=4),
            nn.ReLU(),
            nn.Conv1d(width, width, 9, stride=4, padding=4),
            nn.ReLU(),
        )
        self.head = nn.Linear(width, num_classes)

    def forward(self, sounds):
        """Return the logits of each recording."""
        return self.head(self.features(sounds[:, None]).mean(2))
