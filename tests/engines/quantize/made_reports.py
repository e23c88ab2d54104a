"""Reports made by hand, for pages and charts."""

from engines.quantize.report import (
    BatchMates,
    Interval,
    Layer,
    Lineage,
    Pace,
    Quality,
    Report,
    Speed,
    Timing,
    Verdict,
)

HOST = {"cpu": "Made Up 9000", "cores": 2, "flags": ["avx2", "avx512_vnni"]}


def timing(milliseconds: float) -> Timing:
    return Timing(milliseconds, 0.9 * milliseconds, 1.2 * milliseconds)


def layer(node: str, sqnr_db: float = 20.0, predicted_sqnr_db: float | None = 30.0) -> Layer:
    return Layer(node, "Conv", f"{node}_output", sqnr_db, predicted_sqnr_db, "leave this layer as it is", sqnr_db / 100)


def report(
    variant: str = "int8",
    *,
    passed: bool = True,
    ratio: float = 3.0,
    drop: float = 0.001,
    layers: tuple[Layer, ...] = (layer("first"), layer("second", 25.0, None)),
    model: str = "digits",
    batched: bool = True,
) -> Report:
    """A variant `ratio` times as fast as its source; with a reason that says its name."""
    eight = (timing(5.0), timing(5.0 / ratio)) if batched else (None, None)
    return Report(
        model=model,
        version="1.2.3",
        variant=variant,
        engine="onnxruntime",
        recipe=variant,
        bytes=2_700_000,
        source_bytes=10_000_000,
        seconds=1.25,
        quality=Quality(
            540, "accuracy", 0.99, 0.99 - drop, Interval(drop, drop - 0.002, drop + 0.003, 0.95), 3, 2, 0.998, 0.9999,
            0.25, 38.0,
        ),
        speed=Speed(
            HOST, "f" * 16, Pace(timing(1.0), eight[0], 1000.0), Pace(timing(1.0 / ratio), eight[1], 1000.0 * ratio),
            ratio, ratio if batched else None, ratio,
        ),
        batch_mates=BatchMates(invariant=batched, difference=0.0 if batched else 0.04, tolerance=1e-3, batched=batched),
        layers=layers,
        verdict=Verdict(passed, (f"why {variant} is so",), max_drop=0.005, min_speedup=1.0),
        lineage=Lineage("a" * 64, "b" * 64, "c" * 64, 7, {"calibration": "MinMax", "excluded": [], "rows": 200}),
    )  # fmt: skip
