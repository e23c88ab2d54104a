"""Python, as somebody types lines into it: `run` tells what each of them prints. Begins in the folder of that name."""

import os
import sys
import traceback
from contextlib import redirect_stdout
from io import StringIO

from lines import serve


def main(folder: str) -> None:
    """Keep the names of one session."""
    os.chdir(folder)
    names: dict[str, object] = {}

    def run(source: str) -> str:
        with redirect_stdout(StringIO()) as printed:
            try:
                exec(compile(source, "<page>", "single"), names)  # noqa: S102  the page is ours
            except Exception as error:  # noqa: BLE001  a page may show one
                printed.write("Traceback (most recent call last):\n" + "".join(traceback.format_exception_only(error)))
        return printed.getvalue()

    serve({"run": run}.__getitem__, LookupError, lambda error: {"message": str(error)})


main(sys.argv[1])
