"""How far a build is, from the phases that TensorRT tells of: each has steps, and a step may be a phase of its own."""


class Phases:
    """Plain bookkeeping. Times of phases differ widely, so the share is a sign of life more than a clock."""

    def __init__(self) -> None:
        self._steps: dict[str, int] = {}
        self._done: dict[str, int] = {}
        self._inner: dict[str | None, str] = {}

    def start(self, phase: str, parent: str | None, steps: int) -> None:
        """A phase begins. It is part of the next step of its parent."""
        self._steps[phase], self._done[phase] = max(steps, 1), 0
        self._inner[parent] = phase

    def step(self, phase: str, step: int) -> None:
        """A step, counted from 0, is done."""
        self._done[phase] = step + 1
        self._inner.pop(phase, None)

    @property
    def doing(self) -> str:
        """What the build is at, in TensorRT's words: the phase below the whole."""
        whole = self._inner.get(None, "")
        return self._inner.get(whole, whole).lower()

    @property
    def share(self) -> float:
        """0 to 1."""
        share, width, seen = 0.0, 1.0, set[str]()
        phase = self._inner.get(None)
        while phase is not None and phase not in seen:
            seen.add(phase)
            steps, done = self._steps[phase], self._done[phase]
            share += width * min(done, steps) / steps
            width /= steps
            phase = self._inner.get(phase) if done < steps else None
        return min(share, 1.0)
