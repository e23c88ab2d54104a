"""Which output of a model holds scores, one for each class, if any."""

from engines.quantize.float_errors import is_float
from engines.quantize.layer_graph import Graph
from engines.quantize.recipe import Source
from engines.signature import Signature, TensorSpec

_PASSED_ON = {"Cast", "DequantizeLinear", "Flatten", "Identity", "QuantizeLinear", "Reshape", "Squeeze"}
_MAKES_SCORES = {
    *("Softmax", "LogSoftmax", "Sigmoid", "Gemm", "MatMul", "Conv"),
    *("LinearClassifier", "Normalizer", "SVMClassifier", "TreeEnsembleClassifier"),
}


def default_metric(source: Source, has_labels: bool) -> str:
    """`accuracy` with labels, `agreement` with the source without, `cosine` where no output holds scores.

    An output without labels that is no last linear layer and no softmax is taken for an embedding: which of its values
    is the highest says nothing.
    """
    scores = scores_of(source.signature)
    if scores is not None and has_labels:
        return "accuracy"
    return "agreement" if scores is not None and _is_made_as_scores(scores, Graph(source.path)) else "cosine"


def scores_of(signature: Signature) -> str | None:
    """The first output of floats that holds two values a row or more, in one axis."""
    return next((spec.name for spec in signature.outputs if _may_be(spec, signature.batch_axis is not None)), None)


def _may_be(spec: TensorSpec, has_batch_axis: bool) -> bool:
    if spec.shape is None or not is_float(spec.dtype):
        return False
    row = spec.shape[1:] if has_batch_axis or (len(spec.shape) == 2 and spec.shape[0] == 1) else spec.shape
    return len(row) == 1 and row[0] not in (0, 1)


def _is_made_as_scores(output: str, graph: Graph) -> bool:
    node = graph.producers.get(output)
    while node is not None and (node.op_type in _PASSED_ON or (node.op_type == "Add" and graph.constants(node))):
        computed = (graph.producers.get(name) for name in node.input)  # one of them: the others are constants
        node = next((made for made in computed if made is not None), None)
    return node is not None and node.op_type in _MAKES_SCORES
