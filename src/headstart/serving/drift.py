"""How far the pictures that come in are from those that a network was trained on."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

CHANNELS = ("red", "green", "blue")
WINDOW = 1000  # the latest pictures
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(eq=False)
class Drift:
    """Means and deviations of the channels over the latest pictures, beside those that the network was made for."""

    mean: Sequence[float]  # per channel, of values in 0..1
    std: Sequence[float]
    _latest: deque[tuple[Sequence[float], Sequence[float]]] = field(default_factory=lambda: deque(maxlen=WINDOW))

    def note(self, means: list[list[float]], squares: list[list[float]]) -> None:
        """Count in pictures: the mean and the mean square of each one's channels."""
        self._latest.extend(zip(means, squares, strict=True))

    def shift(self, channel: int) -> float:
        """(mean of what came in - mean) / std; NaN before the first picture."""
        return (self._mean(channel, 0) - self.mean[channel]) / self.std[channel]

    def spread(self, channel: int) -> float:
        """The deviation of what came in, over all pixels of all pictures, divided by std; NaN before the first."""
        variance = self._mean(channel, 1) - self._mean(channel, 0) ** 2
        return max(variance, 0.0) ** 0.5 / self.std[channel] if self._latest else float("nan")

    def _mean(self, channel: int, moment: int) -> float:
        count = len(self._latest)
        return sum(moments[moment][channel] for moments in self._latest) / count if count else float("nan")

    def meaning(self, normalisation: str | None) -> str:
        """What mean and std are of, for the metrics' help. normalisation: its name in the record of the run."""
        if normalisation == "data":
            return "those of the training pictures"
        if (tuple(self.mean), tuple(self.std)) == IMAGENET:
            return "ImageNet's, as pretrained weights want it; those of the training pictures may differ"
        return "those that the weights want; whether they are those of the training pictures is not known"
