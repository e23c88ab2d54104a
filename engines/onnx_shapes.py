"""Shapes that an ONNX file leaves open and its operators tell."""

import sys
from pathlib import Path

import onnx
from onnx import GraphProto, ValueInfoProto

from engines.apart import refuse, run_apart


def inferred_outputs(path: Path) -> list[ValueInfoProto]:
    """The graph's outputs with all that shape inference finds out. Raises ModelFileError."""
    graph = GraphProto()
    graph.ParseFromString(run_apart(__name__, str(path)))
    return list(graph.output)


def main() -> None:
    """Write the outputs of the model at the path given, as a GraphProto, to standard output."""
    model = onnx.load_model(sys.argv[1], load_external_data=False)
    for tensor in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for dim in tensor.type.tensor_type.shape.dim:
            if dim.dim_value < 0:  # some exporters' way to say dynamic; onnx aborts on it
                dim.Clear()
    try:
        inferred = onnx.shape_inference.infer_shapes(model)
    except Exception as error:  # noqa: BLE001  its errors share no base class
        refuse(f"the model's shapes cannot be worked out: {' '.join(str(error).split())}")
    sys.stdout.buffer.write(GraphProto(output=inferred.graph.output).SerializeToString())


if __name__ == "__main__":
    main()
