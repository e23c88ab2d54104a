"""A model as TensorRT reads it: what it refuses, and in which precision it computes each product."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engines.errors import LoadError
from engines.tensorrt.module import Module, listen, network_flags, taken_words
from engines.tensorrt.refusal import Refusal, mend_of, reason_of

_PRECISIONS = {"FLOAT": "fp32", "HALF": "fp16"}
_PRODUCTS = ("CONVOLUTION", "DECONVOLUTION", "MATRIX_MULTIPLY", "EINSUM")
_PASSED_THROUGH = ("SHUFFLE", "IDENTITY")
"""What only moves values: a weight is transposed behind its Q/DQ."""


class Reading:
    """One file, read. Holds all that its network must not outlive."""

    def __init__(self, module: Module, path: Path) -> None:
        """Raises LoadError where TensorRT itself does not work. `module` may be imported only where it can work."""
        self.module = module
        self.log = listen(module)
        try:
            self.builder = module.api.Builder(self.log)
        except TypeError:  # of the binding: it got a null pointer
            raise LoadError(f"{module.name} does not work here: {taken_words(self.log)}") from None
        self.network = self.builder.create_network(network_flags(module))
        self._parser = module.api.OnnxParser(self.network, self.log)  # it owns the weights
        accepted = self._parser.parse_from_file(str(path))
        errors = [self._parser.get_error(index) for index in range(self._parser.num_errors)]
        if not accepted and not errors:
            raise LoadError(f"{module.name} cannot read {path.name}: {taken_words(self.log) or 'it does not say why'}")
        self.refusals = [_refusal(error) for error in errors] or list(self._refused_inputs())

    def layers(self) -> int:
        """How many layers the network has."""
        return int(self.network.num_layers)

    def precisions(self) -> dict[str, str]:
        """Of each convolution and product by name: `int8` where both sides come from Q/DQ, else what it computes in."""
        makers = {layer.get_output(n).name: layer for layer in self._layers() for n in range(layer.num_outputs)}
        return {layer.name: self._precision(layer, makers) for layer in self._layers() if layer.type.name in _PRODUCTS}

    def _refused_inputs(self) -> Iterator[Refusal]:
        inputs = (self.network.get_input(index) for index in range(self.network.num_inputs))
        for name in (tensor.name for tensor in inputs if tensor.is_shape_tensor):
            yield Refusal(
                "",
                "",
                f"the values of input '{name}' decide shapes, and no memory can be held ready for them",
                "serve this model with onnxruntime",
            )

    def _layers(self) -> Iterator[Any]:
        return (self.network.get_layer(index) for index in range(self.network.num_layers))

    def _precision(self, layer: Any, makers: dict[str, Any]) -> str:
        computed = _precision(layer.get_output(0))
        quantized = {_quantized(layer.get_input(index), makers) for index in range(min(layer.num_inputs, 2))}
        return quantized.pop() or computed if len(quantized) == 1 else computed


def _quantized(tensor: Any, makers: dict[str, Any]) -> str:
    """The type that a tensor is dequantized from; empty where it is not."""
    maker = makers.get(tensor.name)
    while maker is not None and maker.type.name in _PASSED_THROUGH:
        maker = makers.get(maker.get_input(0).name)
    if maker is None or maker.type.name != "DEQUANTIZE":
        return ""
    return _precision(maker.get_input(0))


def _precision(tensor: Any) -> str:
    name: str = tensor.dtype.name
    return _PRECISIONS.get(name, name.lower())


def _refusal(error: Any) -> Refusal:
    name, operator, reason = error.node_name(), error.node_operator(), reason_of(error.desc())
    return Refusal(name or f"#{error.node()}", operator, reason, mend_of(operator, reason))
