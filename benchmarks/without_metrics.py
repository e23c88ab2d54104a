"""`octet` with the histograms cut out, to see what they cost: `python -m benchmarks.without_metrics serve ...`."""

from app import metrics
from app.cli.main import main

if __name__ == "__main__":
    metrics.Histogram.observe = lambda self, value: None  # type: ignore[method-assign]
    main()
