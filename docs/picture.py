"""Draw the README's picture, one real person's summary over four updates: ``python -m docs.picture [USER]``.

The summaries come from the production path without Kafka: a step, its prompt, the counting engine, the next version.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from rich.console import Console, Group, RenderableType
from rich.terminal_theme import SVG_EXPORT_THEME
from rich.text import Text

from deploy.demo.movielens import PastRating, load_ratings
from model_server.counting import write_summary
from prefstream.dead_letters import Origin
from prefstream.diffs import changed_words
from prefstream.events import Item, Rating
from prefstream.summaries import ModelUsed, Summary
from streams.evolution.plain import parse_prompt, write_prompt
from streams.records import Arrival, encode_event
from streams.versions import next_summary, step_from

PICTURE = Path(__file__).with_name("evolving.svg")
NUM_VERSIONS, EVENTS_EACH = 4, 10
USER = 597


def arrival(offset: int, rating: PastRating) -> Arrival:
    """A real rating as collect would store it."""
    item = Item(id=str(rating.film.id), title=rating.film.title, attributes={"genre": rating.film.genres})
    at = datetime.fromtimestamp(rating.at_seconds, UTC)
    event = Rating(user=str(rating.user), at=at, domain="films", item=item, value=rating.stars)
    return Arrival(Origin("films", 0, offset), rating.at_seconds * 1_000, 0, "", msgspec.Raw(encode_event(event)))


def versions(ratings: Sequence[PastRating]) -> Iterator[Summary]:
    """The summaries of one user, one for every so many ratings."""
    base: Summary | None = None
    for start in range(0, NUM_VERSIONS * EVENTS_EACH, EVENTS_EACH):
        rows = [
            (start + index, arrival(start + index, rating)) for index, rating in enumerate(ratings[start : start + EVENTS_EACH])
        ]
        step = step_from(str(ratings[0].user).encode(), base, rows, "size")
        parts = parse_prompt(write_prompt(step.old_text, step.tally, step.evidence))
        assert parts is not None
        base = next_summary(step, write_summary(parts), 0, ModelUsed(name="counting"), step.last_event_at)
        yield base


def drawn(summaries: Sequence[Summary]) -> RenderableType:
    """The versions below each other, what changed in colour."""
    lines: list[RenderableType] = []
    for index, summary in enumerate(summaries):
        lines.append(Text(f"version {summary.version}  ·  based on {summary.num_events} events", "bold cyan"))
        lines += [changed_words(summaries[index - 1].text, summary.text) if index else Text(summary.text), ""]
    return Group(*lines[:-1])


def svg(picture: RenderableType, title: str) -> str:
    """A terminal with the picture in it, without the fonts that rich would have a browser fetch."""
    console = Console(record=True, width=108, file=io.StringIO())
    console.print(picture)
    text = console.export_svg(title=title, theme=SVG_EXPORT_THEME, unique_id="evolving")
    return re.sub(r"@font-face \{.*?\}\n|<!--.*?-->\n", "", text, flags=re.DOTALL)


def main() -> None:
    """Draw it."""
    user = int(sys.argv[1]) if len(sys.argv) > 1 else USER
    ratings = [rating for rating in load_ratings() if rating.user == user]
    PICTURE.write_text(svg(drawn(list(versions(ratings))), f"prefstream: the summary of user {user}, evolving"))


if __name__ == "__main__":
    main()
