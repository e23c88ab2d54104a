"""What TensorRT's parser says becomes a reason, and what mends it."""

import pytest

from engines.tensorrt.refusal import Refusal, listed, mend_of, reason_of, refused

NO_GPU = (
    "\n[checkMacros.cpp::catchCudaError::250] Error Code 1: Cuda Runtime (In catchCudaError at /_src/checkMacros.cpp "
    "(cudaError 35: CUDA driver version is insufficient for CUDA runtime version))"
)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("false", "TensorRT has no such operator"),
        (
            'creator && "Plugin not found, are the plugin name, version, and namespace correct?"',
            "TensorRT has no such operator",
        ),
        (
            "Assertion failed: creator && version(creator) == kV3ONE: NonZero plugin was not found in plugin registry.",
            "TensorRT has no such operator",
        ),
        (
            "Assertion failed: a->getType() == nvinfer1::DataType::kHALF: input tensor A must be FP16.",
            "input tensor A must be FP16",
        ),
        (
            "Invalid Node - b\nITensor::getDimensions: Error Code 4: API Usage Error (b: input has type Int32 but must "
            "have type FP8, FP4, Int4, Int8, or UInt8. In checkType at /_src/nodeBase.cpp:456)" + NO_GPU,
            "input has type Int32 but must have type FP8, FP4, Int4, Int8, or UInt8",
        ),
        (
            'Assertion failed: convertDtype(type, &trtDtype) && "Failed to convert ONNX date type."',
            "Failed to convert ONNX date type",
        ),
        (
            "Failed: In node -1: UNSUPPORTED_NODE: Assertion failed: ctx->convert(it, &weights): Failed to import: z",
            "Failed to import: z",
        ),
        (
            "Assertion failed: areZeros(zeroPoint): Non-zero zero point is not supported. Please set kENABLE_UINT8.",
            "Non-zero zero point is not supported",
        ),
        (
            "Error Code 4: Internal Error (dimensions not compatible. In operator() at /_src/shapeMachine.cpp:652)",
            "dimensions not compatible",
        ),
        ("Something: that nobody has met", "Something: that nobody has met"),
        (NO_GPU, "TensorRT has no such operator"),
    ],
)
def test_the_reason_is_told_without_the_places_of_the_parsers_source(said: str, reason: str) -> None:
    assert reason_of(said) == reason


@pytest.mark.parametrize(
    ("operator", "reason", "mends"),
    [
        ("DynamicQuantizeLinear", "TensorRT has no such operator", "recipe int8-tensorrt"),
        ("QLinearConv", "TensorRT has no such operator", "recipe int8-tensorrt"),
        ("QuantizeLinear", "Non-zero zero point is not supported", "recipe int8-tensorrt"),
        ("MatMulNBits", "input tensor A must be FP16", "recipe fp16 or int8-tensorrt"),
        ("Add", "ElementWiseOperation SUM must have same input types", "recipe fp16"),
        ("Unique", "TensorRT has no such operator", "serve it with ONNX Runtime"),
        ("", "Failed to import initializer: z", "serve it with ONNX Runtime"),
    ],
)
def test_what_mends_it_follows_from_operator_and_reason(operator: str, reason: str, mends: str) -> None:
    assert mends in mend_of(operator, reason)


def test_nodes_with_one_reason_share_a_line() -> None:
    refusals = [
        *(Refusal(f"q{number}", "QuantizeLinear", "it is uint8", "make it again") for number in range(5)),
        Refusal("d0", "DequantizeLinear", "it is uint8", "make it again"),
        Refusal("u", "Unique", "TensorRT has no such operator", "export it otherwise"),
        Refusal("", "", "TensorRT runs no string ('x')", "serve it with onnxruntime"),
    ]
    assert listed(refusals) == [
        "node 'q0' (QuantizeLinear) and 5 more: it is uint8; make it again",
        "node 'u' (Unique): TensorRT has no such operator; export it otherwise",
        "TensorRT runs no string ('x'); serve it with onnxruntime",
    ]
    assert str(refused(refusals[-2:])) == "TensorRT refuses the model: " + "; ".join(listed(refusals)[1:])
