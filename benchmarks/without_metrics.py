"""`octet` with the histograms cut out, to see what they cost: `python -m benchmarks.without_metrics serve ...`."""

from app import metrics
from app.cli.main import main


class Deaf(metrics.Histogram):
    """A histogram that takes nothing in."""

    __slots__ = ()

    def __init__(self, bounds: tuple[float, ...]) -> None:
        super().__init__(bounds)
        self.observe = lambda _: None


if __name__ == "__main__":
    metrics.Histogram = Deaf  # type: ignore[misc]
    main()
