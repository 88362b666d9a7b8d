"""`prefstream publish`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Annotated, BinaryIO

import typer
from rich.console import Console
from rich.progress import DownloadColumn

from prefstream.cli.options import BootstrapServers, Namespace
from prefstream.cli.terminal import complain, progress_bar
from prefstream.commands import decode_record
from prefstream.connection import DEFAULT_BOOTSTRAP_SERVERS
from prefstream.errors import InvalidRecord
from prefstream.publisher import Publisher
from prefstream.topics import DEFAULT_NAMESPACE, TopicNames


def publish(
    file: Annotated[typer.FileBinaryRead, typer.Argument(help="One event or command a line, in JSON; - is standard input.")],
    topic: Annotated[str | None, typer.Option(help="Another topic than the namespace's inbox.")] = None,
    bootstrap_servers: BootstrapServers = DEFAULT_BOOTSTRAP_SERVERS,
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> None:
    """Publish events and commands, one JSON document a line.

    Every bad line is reported with its number and what is wrong with it; all others are sent, and acknowledged by the
    broker before this ends. The exit code is 1 if there was a bad line.
    """
    publisher = Publisher(bootstrap_servers, topic or TopicNames(namespace).inbox)
    num_bad = 0
    try:
        with publisher:
            for number, line in _numbered_lines(file):
                try:
                    publisher.publish(decode_record(line))
                except InvalidRecord as error:
                    num_bad += 1
                    complain(f"line {number}: {error}")
    finally:  # also when interrupted: what is sent is sent
        Console(stderr=True).print(f"{publisher.num_acknowledged:,} published, {num_bad:,} bad lines.")
    if num_bad:
        raise typer.Exit(1)


def _numbered_lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, from 1, with a progress bar where somebody can see it."""
    with progress_bar(DownloadColumn()) as progress:
        bar = progress.add_task("publishing", total=_size(file))
        for number, line in enumerate(file, start=1):
            progress.advance(bar, len(line))
            if not line.isspace():
                yield number, line


def _size(file: BinaryIO) -> int | None:
    """In bytes; None for a pipe."""
    try:
        return os.fstat(file.fileno()).st_size or None
    except OSError:
        return None
