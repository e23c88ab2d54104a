"""Shows, before a server has to, that an engine loads a model."""

import json
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from engines.apart import refuse, run_apart
from engines.engine import OpenEngine
from engines.errors import EngineError, LoadError
from engines.samples import sample_inputs
from engines.signature import Signature


def prove_it_loads(engine: str, path: Path, signature: Signature) -> None:
    """Load the file by the engine of that name, and run it once on made-up rows, in a process of its own.

    Raises ModelFileError. That the model refuses such rows is no reason; that it ends the process is.
    """
    question = {"engine": engine, "signature": signature.to_json()}
    run_apart(__name__, str(path), json.dumps(question).encode())


def main() -> None:
    """Load the file at the path given; the rest of the question comes in as JSON."""
    question = json.load(sys.stdin)
    signature = Signature.from_json(question["signature"])
    load: OpenEngine = import_module(f"engines.{question['engine']}_engine").load
    try:
        engine = load(Path(sys.argv[1]), signature, instances=1, threads=1)
    except LoadError as error:
        refuse(str(error))
    with suppress(EngineError):
        engine.runner().run(sample_inputs(signature, 1, seed=0))


if __name__ == "__main__":
    main()
