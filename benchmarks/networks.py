"""The networks that are measured, with random weights: a tiny MLP, a sentence encoder, a ResNet-50."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 20
SEQUENCE = 128
WIDTH = 384
HEADS = 12
VOCABULARY = 30_522


class Network:
    """An ONNX graph in the making. `add` appends a node and gives the name of its output."""

    def __init__(self, seed: int) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.random = np.random.default_rng(seed)

    def add(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        output = output or f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        name = f"weight_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def normal(self, *shape: int, fan_in: int) -> str:
        """Weights of variance 1 / fan_in: a product with them has the variance of what went in."""
        return self.constant(self.random.normal(0, np.sqrt(1 / fan_in), shape))

    def dense(self, x: str, fan_in: int, fan_out: int) -> str:
        product = self.add("MatMul", x, self.normal(fan_in, fan_out, fan_in=fan_in))
        return self.add("Add", product, self.constant(np.zeros(fan_out)))

    def save(self, path: Path, takes: onnx.ValueInfoProto, gives: onnx.ValueInfoProto) -> Path:
        graph = helper.make_graph(self.nodes, path.stem, [takes], [gives], self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
        onnx.save(model, path)
        return path


def mlp(path: Path, seed: int = 0) -> Path:
    """[N,64] -> [N,10] through one hidden layer of 64."""
    net = Network(seed)
    hidden = net.add("Relu", net.dense("x", 64, 64))
    last = net.dense(hidden, 64, 10)
    net.add("Softmax", last, output="y")
    return net.save(path, _tensor("x", 64), _tensor("y", 10))


def encoder(path: Path, seed: int = 0) -> Path:
    """Token ids [N,128] -> the mean of the last layer's [N,384]: 6 layers, 12 heads, feed-forward of 1536."""
    net = Network(seed)
    words = net.add("Gather", net.normal(VOCABULARY, WIDTH, fan_in=1), "ids")
    x = _normalised(net, net.add("Add", words, net.normal(SEQUENCE, WIDTH, fan_in=1)))
    for _ in range(6):
        x = _normalised(net, net.add("Add", x, _attention(net, x)))
        inner = net.add("Gelu", net.dense(x, WIDTH, 4 * WIDTH))
        x = _normalised(net, net.add("Add", x, net.dense(inner, 4 * WIDTH, WIDTH)))
    net.add("ReduceMean", x, net.constant([1], np.int64), output="embedding", keepdims=0)
    return net.save(path, _tensor("ids", SEQUENCE, dtype=TensorProto.INT64), _tensor("embedding", WIDTH))


def resnet50(path: Path, seed: int = 0) -> Path:
    """[N,3,224,224] -> [N,1000]; batch normalisation is folded into the convolutions, as an exporter does."""
    net = Network(seed)
    x = net.add("Relu", _convolution(net, "image", 3, 64, size=7, stride=2))
    x = net.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    channels = 64
    for stage, blocks in enumerate((3, 4, 6, 3)):
        inner = 64 << stage
        for block in range(blocks):
            x = _bottleneck(net, x, channels, inner, stride=2 if stage and not block else 1)
            channels = 4 * inner
    pooled = net.add("Flatten", net.add("GlobalAveragePool", x))
    net.add("Identity", net.dense(pooled, 2048, 1000), output="scores")
    return net.save(path, _tensor("image", 3, 224, 224), _tensor("scores", 1000))


NETWORKS: dict[str, Callable[[Path], Path]] = {"mlp": mlp, "encoder": encoder, "resnet50": resnet50}


def _tensor(name: str, *shape: int, dtype: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, ["N", *shape])


def _normalised(net: Network, x: str) -> str:
    return net.add("LayerNormalization", x, net.constant(np.ones(WIDTH)), net.constant(np.zeros(WIDTH)))


def _attention(net: Network, x: str) -> str:
    size = WIDTH // HEADS
    split = net.constant([0, SEQUENCE, HEADS, size], np.int64)

    def heads(order: list[int]) -> str:
        return net.add("Transpose", net.add("Reshape", net.dense(x, WIDTH, WIDTH), split), perm=order)

    scores = net.add("MatMul", heads([0, 2, 1, 3]), heads([0, 2, 3, 1]))
    weights = net.add("Softmax", net.add("Div", scores, net.constant(np.sqrt(size))), axis=-1)
    mixed = net.add("Transpose", net.add("MatMul", weights, heads([0, 2, 1, 3])), perm=[0, 2, 1, 3])
    joined = net.add("Reshape", mixed, net.constant([0, SEQUENCE, WIDTH], np.int64))
    return net.dense(joined, WIDTH, WIDTH)


def _convolution(net: Network, x: str, fan_in: int, fan_out: int, size: int = 1, stride: int = 1) -> str:
    weights = net.normal(fan_out, fan_in, size, size, fan_in=fan_in * size * size)
    bias = net.constant(np.zeros(fan_out))
    return net.add("Conv", x, weights, bias, strides=[stride] * 2, pads=[size // 2] * 4)


def _bottleneck(net: Network, x: str, channels: int, inner: int, stride: int) -> str:
    y = net.add("Relu", _convolution(net, x, channels, inner))
    y = net.add("Relu", _convolution(net, y, inner, inner, size=3, stride=stride))
    y = _convolution(net, y, inner, 4 * inner)
    if channels != 4 * inner or stride != 1:
        x = _convolution(net, x, channels, 4 * inner, stride=stride)
    return net.add("Relu", net.add("Add", x, y))
