"""Whether a quantized encoder finds the same text: its embeddings look for neighbours among those of FP32."""

from collections.abc import Mapping

import numpy as np

from engines.engine import Array

_NEIGHBOURS = 10


def nearest(embeddings: Array) -> Array:
    """Of each embedding of length 1, those nearest to it but itself, the nearest first: [rows, 10, values]."""
    likeness = embeddings @ embeddings.T
    np.fill_diagonal(likeness, -np.inf)
    return embeddings[np.argsort(-likeness, axis=1, kind="stable")[:, :_NEIGHBOURS]]


def stays_nearest(outputs: Mapping[str, Array], labels: Array) -> Array:
    """A metric: 1 for each row whose nearest is the first of `labels` still."""
    likeness = np.einsum("rv,rnv->rn", outputs["embedding"], labels)
    return np.asarray(likeness.argmax(1) == 0, np.float64)
