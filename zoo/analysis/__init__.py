"""Looking inside a trained model: where it looked, what it does, and whether to believe that.

found = zoo.analysis.analyze("grad-cam", "cifar10-resnet20", registry, files=["cat.jpg"])
found.items[0]["class"], found.analysis.maps  # (1, 1, h, w)
found.write(Path("out"))
"""

from zoo.analysis.findings import Findings
from zoo.analysis.maps import enlarge, normalise
from zoo.analysis.run import analyze

__all__ = ["Findings", "analyze", "enlarge", "normalise"]
