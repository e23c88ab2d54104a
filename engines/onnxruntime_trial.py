"""Shows, before a server has to, that ONNX Runtime loads a model."""

import json
import sys
from contextlib import suppress
from pathlib import Path

from engines.apart import refuse, run_apart
from engines.errors import EngineError, LoadError
from engines.onnxruntime_engine import load
from engines.samples import sample_inputs
from engines.signature import Signature


def prove_it_loads(path: Path, signature: Signature) -> None:
    """Load the file, and run it once on made-up rows, in a process of its own. Raises ModelFileError.

    That the model refuses such rows is no reason; that it ends the process is.
    """
    run_apart(__name__, str(path), json.dumps(signature.to_json()).encode())


def main() -> None:
    """Load the file at the path given; its signature comes in as JSON."""
    signature = Signature.from_json(json.load(sys.stdin))
    try:
        engine = load(Path(sys.argv[1]), signature, instances=1, threads=1)
    except LoadError as error:
        refuse(str(error))
    with suppress(EngineError):
        engine.runner().run(sample_inputs(signature, 1, seed=0))


if __name__ == "__main__":
    main()
