"""`python -m app.cli.one_of_several PLACE FLAGS`: a server that `supervisor` started, told by JSON."""

import json
import os
import sys

from app.cli.main import telling_plainly
from app.cli.place import Place
from app.settings import load_settings

if __name__ == "__main__":
    place, flags = Place(**json.loads(sys.argv[1])), json.loads(sys.argv[2])
    os.sched_setaffinity(0, place.processors)  # before libraries count the cores
    from app.cli.server import serve_at

    with telling_plainly():
        serve_at(load_settings(flags), place)
