"""What can go wrong with a model, its file or its run. Facts only: `app` turns them into a status."""


class EngineError(Exception):
    """Every error of this package. The message says what was wrong, what was expected and what to do."""


class ModelFileError(EngineError):
    """The file is not a model that can be taken in: no ONNX, unknown operator, unsupported dtype, stray path."""


class LoadError(EngineError):
    """The engine could not load a model file that was taken in (out of memory, unsupported on this machine)."""


class InputRefused(EngineError):
    """The engine refused the values of an input, for example an index out of range: the caller's fault."""


class RunError(EngineError):
    """The engine failed while running: not the caller's fault."""


class QuantizeError(EngineError):
    """A variant cannot be made, or not be measured; the message says what to do."""


class DataError(EngineError):
    """Rows to calibrate or to evaluate with cannot be read, or do not fit the signature."""
