"""What goes wrong. A process is told by FAKE_GPU_FAULTS, with commas between."""

import os

faults: set[str] = set(filter(None, os.environ.get("FAKE_GPU_FAULTS", "").split(",")))
"""Any of:

    build       no plan can be built
    stuck       a build never ends
    plan        no plan can be loaded
    context     no execution context can be made
    surprise    the library raises what nobody foresaw
    capture     nothing can be captured
    graph       a graph answers something else than the run before it
    run         nothing runs
    nan         every number that comes out is NaN
    mixed 8     in a batch of 8, a row answers with the row beside it
"""
