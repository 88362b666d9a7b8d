"""The model behind one small interface: a client, and engines that speak the OpenAI protocol."""

import sys
from importlib.util import find_spec

# Only when a module of ours is what Python was started with, which it says so while it looks for it.
if sys.argv[:1] == ["-m"] and find_spec("msgspec") is None:
    sys.exit(
        f"{sys.executable} has none of the packages that are needed: use .venv-engine/bin/python for vLLM on a CPU (make "
        "engine makes it), .venv/bin/python for the counting engine (make setup), or the Python into which you installed vLLM"
    )
