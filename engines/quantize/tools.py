"""Makes variants with libraries that clash with those of serving: in an environment that has them, by a child process.

    TOOLS/nncf/bin/python -m engines.quantize.tools QUESTION   a file of JSON; lines of JSON come back on the standard
                                                               output: progress, then what was made, or why not

The child imports the recipe's own module and what reads rows. So an environment needs numpy and ml_dtypes beside the
recipe's libraries, and pillow for images.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import engines
from engines.errors import EngineError, QuantizeError
from engines.quantize.open_rows import open_rows
from engines.quantize.recipe import Made, Options, Progress, Recipe, Source
from engines.quantize.rows import RowsSpec
from engines.signature import Signature

_LOWEST_PRIORITY = 19
# What an engine needs to run a variant here, wherever it is made. The engine's name is that of the extra.
_LIBRARIES = {"openvino": "openvino", "litert": "ai_edge_litert"}


def missing(recipe: Recipe) -> str | None:
    """Why the recipe cannot be followed on this machine, and what to do; None where nothing is missing."""
    library = _LIBRARIES.get(recipe.engine)
    if library is not None and find_spec(library) is None:
        return f"it needs {library}, which is not installed here: pip install 'octet-serving[{recipe.engine}]'"
    if recipe.tool is not None:
        return _missing_there(_python(recipe.tool), recipe.needs)
    absent = [module for module in recipe.needs if find_spec(module) is None]
    return f"it needs {', '.join(absent)}, which is not installed here" if absent else None


def make(
    recipe: Recipe, source: Source, rows: RowsSpec | None, folder: Path, options: Options, progress: Progress
) -> Made:
    """What `recipe.make` makes in `folder`, made in the environment that the recipe names, at the lowest priority.

    The recipe is a dataclass of JSON values and tuples of them; `rows` are opened anew there. However this call ends,
    its processes end with it. Raises QuantizeError: in the recipe's words, or saying how the process ended.
    """
    assert recipe.tool is not None
    with TemporaryDirectory(prefix="octet-tools-") as scratch:
        question = Path(scratch, "question.json")
        question.write_text(json.dumps(_question(recipe, source, rows, folder, options)))
        with _child(_python(recipe.tool), question) as child:
            for answer in _answers(child):
                match answer:
                    case {"progress": [what, done]}:
                        progress(what, done)
                    case {"made": [main, external, details]}:
                        return Made(Path(main), {name: Path(path) for name, path in external.items()}, details)
                    case {"failed": words}:
                        raise QuantizeError(words)
            raise QuantizeError(f"{recipe.name}: {_ending(child.wait(), question)}")


def _python(tool: str) -> Path:
    """Not resolved: by where its link lies it knows its packages."""
    return Path(os.environ.get("OCTET_TOOLS", "build/tools")).absolute() / tool / "bin" / "python"


def _missing_there(python: Path, modules: tuple[str, ...]) -> str | None:
    environment = python.parent.parent
    if not python.exists():
        return (
            f"it is made in an environment of its own, and there is no {environment}; set it up by `make tools`, "
            "or say in OCTET_TOOLS where such environments are"
        )
    script = "import sys; from importlib.util import find_spec; print(*(m for m in sys.argv[1:] if not find_spec(m)))"
    try:
        found = subprocess.run([python, "-P", "-c", script, *modules], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"the Python of {environment} does not run ({error}); set it up anew by `make tools`"
    absent = found.stdout.decode().strip()
    return f"it needs {absent}, which {environment} has not; set it up anew by `make tools`" if absent else None


def _question(recipe: Any, source: Source, rows: RowsSpec | None, folder: Path, options: Options) -> dict[str, Any]:
    return {
        "recipe": [type(recipe).__module__, type(recipe).__name__, asdict(recipe)],
        "source": [str(source.path.absolute()), source.signature.to_json(), source.network, source.fine_tune],
        "rows": None if rows is None else asdict(rows),
        "folder": str(folder.absolute()),
        "options": asdict(options),
    }


@contextmanager
def _child(python: Path, question: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The process, in a group of its own, of which nothing is left in the end."""
    # Beside this package lie others, in a site-packages of its own Python: the child shall see this one and no more.
    (question.parent / "engines").symlink_to(Path(engines.__file__).parent, target_is_directory=True)
    paths = [str(question.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    with (
        _log(question).open("wb") as log,
        subprocess.Popen(
            [python, "-P", "-m", "engines.quantize.tools", question],
            stdin=subprocess.PIPE,  # never written to: it closes with this process, which the child waits for
            stdout=subprocess.PIPE,
            stderr=log,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,
        ) as child,
    ):
        try:
            yield child
        finally:
            with suppress(ProcessLookupError):  # the last of the group is gone already
                os.killpg(child.pid, signal.SIGKILL)


def _answers(child: subprocess.Popen[bytes]) -> Iterator[dict[str, Any]]:
    assert child.stdout is not None
    for line in child.stdout:
        if line.endswith(b"\n"):  # else it ended while it wrote
            yield json.loads(line)


def _log(question: Path) -> Path:
    """What the child and its libraries print."""
    return question.with_suffix(".log")


def _ending(code: int, question: Path) -> str:
    if code == -signal.SIGKILL:
        return "its process was ended by SIGKILL, as is done where memory runs short; give fewer or smaller rows"
    how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
    said = _log(question).read_text(errors="replace").split("\n")
    return f"its process was {how}; it said last: {next((line for line in reversed(said) if line.strip()), 'nothing')}"


# ---- in the child


def main() -> None:
    """The process."""
    os.nice(_LOWEST_PRIORITY)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    answers = os.dup(1)
    os.dup2(2, 1)  # what libraries print is no answer

    def tell(**answer: object) -> None:
        os.write(answers, json.dumps(answer).encode() + b"\n")

    question = json.loads(Path(sys.argv[1]).read_text())
    try:
        made = _made(question, lambda what, done: tell(progress=[what, done]))
    except EngineError as error:
        tell(failed=str(error))
    except Exception as error:  # noqa: BLE001  libraries raise whatever they like
        tell(failed=f"{question['recipe'][2]['name']} failed with {type(error).__name__}: {error}")
    else:
        external = {name: str(path) for name, path in made.external.items()}
        tell(made=[str(made.main), external, dict(made.details)])


def _end_with_the_parent() -> None:
    """Wait for the end of the pipe. What hangs in native code cannot be asked to stop, so nothing is asked."""
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGKILL)


def _made(question: dict[str, Any], progress: Progress) -> Made:
    module, name, fields = question["recipe"]
    recipe: Recipe = getattr(import_module(module), name)(**{key: _tuples(value) for key, value in fields.items()})
    path, signature, *networks = question["source"]
    source = Source(Path(path), Signature.from_json(signature), *networks)
    rows = None if question["rows"] is None else open_rows(RowsSpec(**question["rows"]), source.signature)
    options = Options(**{key: _tuples(value) for key, value in question["options"].items()})
    return recipe.make(source, rows, Path(question["folder"]), options, progress)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


if __name__ == "__main__":
    main()
