"""English sentences and their tokens: what the docstrings of installed packages begin with, read without importing."""

import ast
import re
from collections.abc import Iterator, Sequence
from importlib.metadata import files
from pathlib import Path

import numpy as np

from engines.engine import Array

# Of those that serving needs, so that a lock says which texts they hold; each is about something else.
_PACKAGES = ("click", "fastapi", "matplotlib", "numpy", "onnx", "pydantic", "sqlalchemy")
_SENTENCE = re.compile(r"[A-Z][A-Za-z ,;'()-]{50,200}\.")
_WORD = re.compile(r"\w+|[^\w\s]")
_PADDING, _UNKNOWN, _FIRST, _LAST = "[PAD]", "[UNK]", "[CLS]", "[SEP]"


def sentences(count: int) -> list[str]:
    """So many, no two the same: the same ones wherever the same versions are installed."""
    found = sorted({text for package in _PACKAGES for text in _first_paragraphs(package) if _SENTENCE.fullmatch(text)})
    chosen = np.random.default_rng(0).choice(len(found), count, replace=False)
    return [found[index] for index in chosen]


def _first_paragraphs(package: str) -> Iterator[str]:
    for file in files(package) or ():
        if file.suffix == ".py" and "tests" not in file.parts:
            for node in ast.walk(ast.parse(Path(str(file.locate())).read_bytes())):
                if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                    yield " ".join((ast.get_docstring(node) or "").split("\n\n")[0].split())


def token_ids(texts: Sequence[str], vocabulary: Path, length: int) -> Array:
    """int64 [texts, length], filled up with 0: WordPiece of ASCII text in lower case, as BERT takes it."""
    places = {word: place for place, word in enumerate(vocabulary.read_text("utf-8").splitlines())}
    rows = np.full((len(texts), length), places[_PADDING], np.int64)
    for row, text in zip(rows, texts, strict=True):
        pieces = [piece for word in _WORD.findall(text.lower()) for piece in _pieces(word, places)]
        whole = [_FIRST, *pieces[: length - 2], _LAST]
        row[: len(whole)] = [places[piece] for piece in whole]
    return rows


def _pieces(word: str, known: dict[str, int]) -> list[str]:
    """The longest known beginning, then the longest that goes on from there, and so forth."""
    pieces: list[str] = []
    start = 0
    while start < len(word):
        prefix = "##" if start else ""
        ends = range(len(word), start, -1)
        end = next((end for end in ends if prefix + word[start:end] in known), None)
        if end is None:
            return [_UNKNOWN]
        pieces.append(prefix + word[start:end])
        start = end
    return pieces
