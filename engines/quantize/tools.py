"""Makes variants with libraries that clash with those of serving: in an environment that has them, by a child process.

The child imports the recipe's own module and what reads rows. So an environment needs numpy and ml_dtypes beside the
recipe's libraries, and pillow for images.
"""

import subprocess
from dataclasses import asdict
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from engines.background import give_way
from engines.elsewhere import Tell, answer, asking, python_of
from engines.errors import QuantizeError
from engines.quantize.open_rows import open_rows
from engines.quantize.recipe import Made, Options, Progress, Recipe, Source
from engines.quantize.rows import RowsSpec
from engines.signature import Signature

# What an engine needs to run a variant here, wherever it is made. The engine's name is that of the extra.
_LIBRARIES = {"openvino": "openvino", "litert": "ai_edge_litert"}

# Environments that `make tools` does not set up: what to install into them.
_SET_UP_BY_HAND = {"modelopt": "'nvidia-modelopt[onnx]' ml_dtypes pillow"}


def missing(recipe: Recipe) -> str | None:
    """Why the recipe cannot be followed on this machine, and what to do; None where nothing is missing."""
    library = _LIBRARIES.get(recipe.engine)
    if library is not None and find_spec(library) is None:
        return f"it needs {library}, which is not installed here: pip install 'octet-serving[{recipe.engine}]'"
    if recipe.tool is not None:
        return _missing_there(python_of(recipe.tool), recipe.needs)
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
    question = _question(recipe, source, rows, folder, options)
    with asking(python_of(recipe.tool), "engines.quantize.tools", question) as child:
        for told in child.answers():
            match told:
                case {"progress": [what, done]}:
                    progress(what, done)
                case {"made": [main, external, details]}:
                    return Made(Path(main), {name: Path(path) for name, path in external.items()}, details)
                case {"failed": words}:
                    raise QuantizeError(words)
        raise QuantizeError(f"{recipe.name}: {child.ending()}")


def _missing_there(python: Path, modules: tuple[str, ...]) -> str | None:
    environment = python.parent.parent
    if not python.exists():
        return (
            f"it is made in an environment of its own, and there is no {environment}; set it up by "
            f"{_set_up(environment)}, or say in OCTET_TOOLS where such environments are"
        )
    script = "import sys; from importlib.util import find_spec; print(*(m for m in sys.argv[1:] if not find_spec(m)))"
    try:
        found = subprocess.run([python, "-P", "-c", script, *modules], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"the Python of {environment} does not run ({error}); set it up anew by {_set_up(environment)}"
    absent = found.stdout.decode().strip()
    return (
        f"it needs {absent}, which {environment} has not; set it up anew by {_set_up(environment)}" if absent else None
    )


def _set_up(environment: Path) -> str:
    packages = _SET_UP_BY_HAND.get(environment.name)
    if packages is None:
        return "`make tools`"
    return f"`python3 -m venv {environment}` and `{environment}/bin/pip install {packages}`"


def _question(recipe: Any, source: Source, rows: RowsSpec | None, folder: Path, options: Options) -> dict[str, Any]:
    return {
        "recipe": [type(recipe).__module__, type(recipe).__name__, asdict(recipe)],
        "source": [str(source.path.absolute()), source.signature.to_json(), source.network, source.fine_tune],
        "rows": None if rows is None else asdict(rows),
        "folder": str(folder.absolute()),
        "options": asdict(options),
    }


# ---- in the child


def main() -> None:
    """The process."""
    give_way()
    answer(_tell_what_is_made, lambda question: question["recipe"][2]["name"])


def _tell_what_is_made(question: dict[str, Any], tell: Tell) -> None:
    made = _made(question, lambda what, done: tell(progress=[what, done]))
    external = {name: str(path) for name, path in made.external.items()}
    tell(made=[str(made.main), external, dict(made.details)])


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
