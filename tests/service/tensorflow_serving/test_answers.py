"""TensorFlow Serving's predict response: rows or columns, floats in their shortest text, errors where rows are asked
of outputs that have none."""

import pytest

from tests.service.tensorflow_serving.conftest import Ask, Predict, Refuse


def body_of(ask: Ask, model: str, body: object) -> str:
    return ask("POST", f"/v1/models/{model}:predict", body).body.decode()


def test_one_output_comes_without_its_name(predict: Predict) -> None:
    assert predict("matrix", {"instances": [[1, 2]]}) == {"predictions": [[1.0, 2.0]]}
    assert predict("matrix", {"inputs": [[1, 2]]}) == {"outputs": [[1.0, 2.0]]}


def test_several_outputs_are_an_object_a_row_or_an_object_of_columns(predict: Predict) -> None:
    rows = [{"a": 1, "b": 2}, {"a": 3, "b": 1}]
    assert predict("pair", {"instances": rows}) == {
        "predictions": [{"sum": 3.0, "less": True}, {"sum": 4.0, "less": False}]
    }
    assert predict("pair", {"inputs": {"a": [1, 3], "b": [2, 1]}}) == {
        "outputs": {"sum": [3.0, 4.0], "less": [True, False]}
    }


def test_rows_need_outputs_that_have_as_many(predict: Predict, refuse: Refuse) -> None:
    told = refuse("with_total", {"instances": [1, 2]})
    assert told == "output 'total' has no rows: ask with 'inputs' instead of 'instances'"
    assert predict("with_total", {"inputs": [1, 2]}) == {"outputs": {"y": [1.0, 2.0], "total": 3.0}}


def test_columns_may_have_any_shape(predict: Predict) -> None:
    assert predict("scalar", {"inputs": 2}) == {"outputs": 2.0}
    assert predict("apart", {"inputs": {"a": [1], "b": []}}) == {"outputs": {"of_a": [1.0], "of_b": []}}


def test_strings_are_base64_where_the_name_of_the_output_ends_in_bytes(predict: Predict) -> None:
    assert predict("as_bytes", {"instances": ["ä", ""]}) == {
        "predictions": [{"plain": "ä", "raw_bytes": {"b64": "w6Q="}}, {"plain": "", "raw_bytes": {"b64": ""}}]
    }
    assert predict("as_bytes", {"inputs": ["ä"]}) == {"outputs": {"plain": ["ä"], "raw_bytes": [{"b64": "w6Q="}]}}


@pytest.mark.parametrize(
    ("dtype", "numbers", "written"),
    [
        ("float32", "0.2, 0.1, 16777216, 3.4028235e38, 1e-45", "0.2,0.1,16777216.0,3.4028235e+38,1e-45"),
        ("float64", "0.2, 0.30000000000000004, 1, 5e-324", "0.2,0.30000000000000004,1.0,5e-324"),
        ("float16", "0.1, 65504", "0.099975586,65504.0"),
        ("bfloat16", "0.1, 256", "0.100097656,256.0"),
        ("float32", "1, -3, 0, -0.0", "1.0,-3.0,0.0,-0.0"),
        ("float32", "NaN, 1e39, -1e39", "NaN,Infinity,-Infinity"),
        ("float64", "-NaN, Inf, -Inf", "NaN,Infinity,-Infinity"),
        ("int64", "1, -3, 9007199254740993", "1,-3,9007199254740993"),
        ("uint8", "0, 255", "0,255"),
        ("bool", "true, false", "true,false"),
    ],
)
def test_numbers_are_the_shortest_text_of_their_own_precision(ask: Ask, dtype: str, numbers: str, written: str) -> None:
    assert body_of(ask, dtype, f'{{"instances": [{numbers}]}}'.encode()) == f'{{"predictions":[{written}]}}'
    assert body_of(ask, dtype, f'{{"inputs": [{numbers}]}}'.encode()) == f'{{"outputs":[{written}]}}'
