"""``python -m tests.records VERSION``: write down what this version writes, for every later one to read."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.records.kinds import full, kinds


def main(version: str) -> None:
    """The bytes of each record in hexadecimal, and what is in it."""
    written = {}
    for name, kind in kinds().items():
        encoded = kind.encode(full(kind))
        written[name] = encoded.decode() if kind.codec == "json" else encoded.hex()
    path = Path(__file__).parent / f"written-by-{version}.json"
    path.write_text(json.dumps(written, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
