"""The source, beside which variants are measured: run once over the evaluation rows for all of them."""

from contextlib import ExitStack

from engines.engine import Array, Arrays, OpenEngine
from engines.quantize.kept_answers import KeptAnswers
from engines.quantize.recipe import Source
from engines.quantize.rows import Rows
from engines.quantize.sides import Side, opened
from engines.quantize.speed import Contender


class Reference:
    """The source as it would be served, on one set of rows; to be closed."""

    def __init__(self, source: Source, load: OpenEngine, rows: Rows, cores: int) -> None:
        """Opens nothing yet."""
        self.source = source
        self.signature = source.signature
        self.rows = rows
        self.cores = cores
        self._load = load
        self._kept = KeptAnswers(source.signature)
        self._stack = ExitStack()
        self._side: Side | None = None
        self._contender: Contender | None = None

    def answer(self, inputs: Arrays) -> dict[str, Array]:
        """What the source answers; see `engines.quantize.answers.Answers`."""
        answers = self._kept.get(inputs)
        if answers is None:
            answers = self._opened().answering.answer(inputs)
            self._kept.put(inputs, answers)
        return answers

    def contender(self) -> Contender:
        """Who runs against a variant. The engine that answers is closed: it would be in the way."""
        contender = self._contender or self._opened().contender
        self._contender, self._side = contender, None
        self._stack.close()
        return contender

    def close(self) -> None:
        """Forget the answers."""
        self._stack.close()
        self._kept.close()

    def _opened(self) -> Side:
        if self._side is None:
            own = opened(self.source.path, self.signature, self._load, self.rows, self.cores)
            self._side = self._stack.enter_context(own)
        return self._side
