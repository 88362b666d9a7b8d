"""``make deploy-check``: every Dockerfile, compose.yaml and every manifest; one line for each problem, exit code 1 if any."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from deploy.check import compose, dockerfiles, kubernetes


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints what was looked at, or what is wrong."""
    argparse.ArgumentParser(prog="python -m deploy.check", description=__doc__).parse_args(arguments)
    found = [*dockerfiles.problems(), *compose.problems(), *kubernetes.problems()]
    sys.stderr.writelines(f"{sentence}\n" for sentence in found)
    if found:
        return 1
    num_folders = len(kubernetes.folders())
    print(
        f"{len(dockerfiles.paths())} Dockerfiles, compose.yaml and {num_folders} folders of manifests are what they have to be."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
