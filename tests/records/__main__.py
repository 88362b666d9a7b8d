"""``python -m tests.records VERSION``: write down what this version writes, for every later one to read."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from tests.records.kinds import full, kinds


def main(version: str) -> None:
    """Write down the bytes of a full record of each kind, beside this program."""
    written = {}
    for name, kind in kinds().items():
        encoded = kind.encode(full(kind))
        written[name] = encoded.decode() if kind.codec == "json" else encoded.hex()
    path = Path(__file__).parent / f"written-by-{version}.json"
    path.write_text(json.dumps(written, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m tests.records", description=main.__doc__, epilog="example: python -m tests.records 0.2.0"
    )
    parser.add_argument("version", metavar="VERSION", help="of prefstream, as in written-by-VERSION.json")
    main(parser.parse_args().version)
