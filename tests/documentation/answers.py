"""Whether a command printed what its page says.

How much white space there is does not count, numbers may differ in their fifth digit (processors round differently),
`...` stands for anything, and so do the values of headers that differ from answer to answer.
"""

import math
import re

TOLERANCE = 1e-4

_VARYING = re.compile(r"^(date|server-timing|x-request-id): .*$", re.MULTILINE | re.IGNORECASE)
_NUMBER = r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"
_PART = re.compile(rf"(?P<anything>\.\.\.)|(?P<number>{_NUMBER})|(?P<text>.)", re.DOTALL)


def agree(documented: str, printed: str) -> bool:
    """Whether `printed` is what `documented` promises."""
    documented, printed = _bare(documented), _bare(printed)
    pattern, numbers = "", []
    for part in _PART.finditer(documented):
        if part["anything"]:
            pattern += ".*?"
        elif part["number"]:
            pattern += f"({_NUMBER})"
            numbers.append(float(part["number"]))
        else:
            pattern += re.escape(part["text"])
    found = re.fullmatch(pattern, printed, re.DOTALL)
    return found is not None and all(map(_near, numbers, map(float, found.groups())))


def _bare(text: str) -> str:
    """The text with white space only where it parts words or numbers."""
    text = " ".join(_VARYING.sub(r"\1", text.replace("\r", "")).split())
    text = re.sub(r" ?\.\.\. ?", "...", text)
    return re.sub(r"(?<![\w.-]) | (?![\w.-])", "", text)


def _near(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
