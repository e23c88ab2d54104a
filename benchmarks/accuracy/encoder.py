"""A real sentence encoder: the weights of all-MiniLM-L6-v2, out of a Python package, as an ONNX graph.

6 layers, 384 wide, 12 heads; the mean over the tokens, as a vector of length 1. Post-LN: what a LayerNormalization
makes goes into the products and around them.
"""

import json
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

from benchmarks.networks import Network
from engines.engine import Array

LAYERS, WIDTH, HEADS = 6, 384, 12


def write_encoder(weights: Path, path: Path, tokens: int) -> Path:
    """`ids` int64 [N, tokens], where 0 is padding -> `embedding` float32 [N, 384]."""
    net = _MiniLM(read_safetensors(weights), tokens)
    x = net.embedded()
    for layer in range(LAYERS):
        x = net.layer(x, f"encoder.layer.{layer}")
    net.embedding(x)
    takes = helper.make_tensor_value_info("ids", TensorProto.INT64, ["N", tokens])
    return net.save(path, takes, helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", WIDTH]))


def read_safetensors(path: Path) -> dict[str, Array]:
    """The FP32 tensors of a safetensors file: the length of a JSON head, the head, the bytes."""
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    head = json.loads(content[8:start])
    return {
        name: np.frombuffer(content, "<f4", (end - begin) // 4, start + begin).reshape(tensor["shape"])
        for name, tensor in head.items()
        if tensor.get("dtype") == "F32"
        for begin, end in [tensor["data_offsets"]]
    }


class _MiniLM(Network):
    def __init__(self, held: dict[str, Array], tokens: int) -> None:
        super().__init__(seed=0)
        self.held = held
        self.tokens = tokens
        self.present = self.add("Cast", self.add("Sign", "ids"), to=TensorProto.FLOAT)
        absent = self.add("Mul", self.add("Sub", self.present, self.constant(1)), self.constant(1e4))
        self.hidden = self.add("Unsqueeze", absent, self.constant([1, 2], np.int64))  # added to scores: padding to -1e4

    def embedded(self) -> str:
        words = self.add("Gather", self.constant(self.held["embeddings.word_embeddings.weight"]), "ids")
        places = self.held["embeddings.position_embeddings.weight"][: self.tokens]
        kind = self.held["embeddings.token_type_embeddings.weight"][0]
        return self.normalised(self.add("Add", words, self.constant(places + kind)), "embeddings.LayerNorm")

    def layer(self, x: str, name: str) -> str:
        mixed = self.linear(self.attention(x, f"{name}.attention.self"), f"{name}.attention.output.dense")
        x = self.normalised(self.add("Add", x, mixed), f"{name}.attention.output.LayerNorm")
        inner = self.add("Gelu", self.linear(x, f"{name}.intermediate.dense"))
        outer = self.linear(inner, f"{name}.output.dense")
        return self.normalised(self.add("Add", x, outer), f"{name}.output.LayerNorm")

    def attention(self, x: str, name: str) -> str:
        split = self.constant([0, self.tokens, HEADS, WIDTH // HEADS], np.int64)

        def heads(part: str, order: list[int]) -> str:
            return self.add("Transpose", self.add("Reshape", self.linear(x, f"{name}.{part}"), split), perm=order)

        scores = self.add("MatMul", heads("query", [0, 2, 1, 3]), heads("key", [0, 2, 3, 1]))
        scaled = self.add("Mul", scores, self.constant((WIDTH // HEADS) ** -0.5))
        weights = self.add("Softmax", self.add("Add", scaled, self.hidden), axis=-1)
        mixed = self.add("Transpose", self.add("MatMul", weights, heads("value", [0, 2, 1, 3])), perm=[0, 2, 1, 3])
        return self.add("Reshape", mixed, self.constant([0, self.tokens, WIDTH], np.int64))

    def embedding(self, x: str) -> None:
        present = self.add("Unsqueeze", self.present, self.constant([2], np.int64))
        total = self.add("ReduceSum", self.add("Mul", x, present), self.constant([1], np.int64), keepdims=0)
        self.add("LpNormalization", total, output="embedding", axis=1, p=2)

    def linear(self, x: str, name: str) -> str:
        product = self.add("MatMul", x, self.constant(self.held[f"{name}.weight"].T))
        return self.add("Add", product, self.constant(self.held[f"{name}.bias"]))

    def normalised(self, x: str, name: str) -> str:
        own = [self.constant(self.held[f"{name}.{part}"]) for part in ("weight", "bias")]
        return self.add("LayerNormalization", x, *own, epsilon=1e-12)
