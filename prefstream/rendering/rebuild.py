"""How a rebuild looks: where everybody stands, how the texts differ, and what became of the commands."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Group
from rich.text import Text

from prefstream.rebuild.comparison import Comparison, Example, Lengths
from prefstream.rebuild.promotion import Outcome
from prefstream.rebuild.shadow import Beginning, Progress
from prefstream.rendering import Section, columns, counted, printable
from prefstream.rendering.receipts import REFUSALS
from prefstream.rendering.summaries import changed
from prefstream.tenants import shown
from prefstream.topics import DAY_MS

STANDINGS: dict[str, str] = {
    "same": "have the shadow's text, or one by its model",
    "ready": "can be promoted",
    "behind": "are ahead of the shadow, or behind it",
    "fewer": "are known to the shadow by fewer events",
    "taken_back": "went back to an earlier version themselves",
    "absent": "have no summary in the shadow",
    "refused": "keep their text, by a guard or an opt-out",
    "given_back": "have the text from before the promotion",
}


def standings_lines(standings: Mapping[str, int], total: int) -> list[Text]:
    """A line for each standing that somebody has."""
    rows = [
        (f"{standings[name]:,}", f"{standings[name] / total:.1%}", sentence)
        for name, sentence in STANDINGS.items()
        if standings.get(name)
    ]
    return columns(("users", "share", "who"), [Section("", rows)], "rrl") if rows else [Text("Nobody has a summary.")]


def progress_lines(progress: Progress) -> list[Text]:
    """How far the shadow's workers are."""
    share = progress.num_read / progress.num_events if progress.num_events else 1.0
    lines = [Text(f"{progress.num_read:,} of {progress.num_events:,} events and commands read ({share:.1%}).")]
    if progress.num_live_unread:
        lines.append(Text(f"The installation itself has {progress.num_live_unread:,} of them to read.", "dim"))
    return [*lines, Text("")]


def outcome_lines(outcome: Outcome) -> list[Text]:
    """How everybody stands in the end, and what was refused, and why."""
    if not outcome.standings:
        return [Text("Nothing to do.")]
    lines = standings_lines(outcome.standings, sum(outcome.standings.values()) or 1)
    if changed_now := outcome.receipts.get("applied"):
        lines.append(Text(f"{counted(changed_now, 'text')} changed now."))
    refused = {reason: count for reason, count in outcome.receipts.items() if reason not in ("applied", "unchanged")}
    lines += [
        Text(f"{counted(count, 'command')} refused: {dict(REFUSALS).get(reason, reason)}.", "dim")  # type: ignore[call-overload]
        for reason, count in sorted(refused.items(), key=lambda one: -one[1])
    ]
    return lines


def beginning_lines(found: Beginning) -> list[Text]:
    """What there is to be read, what is gone, and how to start the workers."""
    shadow, live = found.shadow.namespace, found.shadow.shadow_of
    word = shadow.removeprefix(f"{live}.shadow-")
    done = f"created {counted(found.num_created, 'topic')}" if found.num_created else "its topics are there"
    lines = [Text(f"{shadow}: {done}, {counted(found.num_partitions, 'partition')} as {live} has.", "bold")]
    lines.append(Text(f"It reads {found.shadow.events}: {found.num_kept:,} events and commands are there."))
    if found.num_gone:
        kept = f" (they are kept for {found.retention_ms / DAY_MS:g} days)" if found.retention_ms is not None else ""
        gone = f"{found.num_gone:,} more are gone{kept}: what they said, the shadow cannot know."
        lines.append(Text(gone, "yellow"))
    lines += [
        Text(""),
        Text("Start its workers with the settings of your own, and these instead:"),
        Text(f"  PREFSTREAM_NAMESPACE={shadow}"),
        Text("  PREFSTREAM_MODEL_PROFILE=...      a profile with a name of its own, always"),
        Text("  PREFSTREAM_MODEL_URL=...          where that is served"),
        Text("  ...                               whatever else is to be new, as a budget"),
        Text(f"  PREFSTREAM_DATA_DIRECTORY=prefstream-state-{word}"),
        Text("  PREFSTREAM_HTTP_PORT=0            beside another worker on the machine"),
        Text("  .venv/bin/python -m agents"),
        Text(""),
        Text(
            "By the profile's name it is told whose text is new: with the one that the workers have now, a new budget or "
            "setting alone is never promoted. Copy its file to one with another name."
        ),
        Text(""),
        Text(
            f"Then: prefstream rebuild status {word}, compare {word}, promote {word}. Before you promote, give the workers of "
            f"{live} and this command the same PREFSTREAM_REBUILD_KEY, for instance what `openssl rand -hex 32` says."
        ),
    ]
    return lines


def comparison_report(found: Comparison, has_colours: bool) -> Group:
    """The comparison, and the examples as differences."""
    lines = standings_lines(found.standings, found.num_users or 1)
    if found.num_same_model:
        lines.append(
            Text(
                f"{counted(found.num_same_model, 'text')} of the first line differ, by the same model on both sides. Where "
                "nothing was promoted yet, the shadow has no profile with a name of its own, and nothing can be.",
                "yellow",
            )
        )
    if not found.num_in_both:
        return Group(*lines)
    known = found.num_shadow_events / found.num_live_events if found.num_live_events else 1.0
    rows = [_lengths("published", found.live_tokens), _lengths("shadow", found.shadow_tokens)]
    lines += [Text(""), *columns(("tokens", "mean", "median", "19 of 20"), [Section("", rows)], "lrrr"), Text("")]
    lines.append(
        Text(f"{found.num_differ:,} of {found.num_in_both:,} texts differ; of these {found.words_kept:.0%} of words stay.")
    )
    titles = f"{found.num_titles_kept:,} stay, {found.num_titles_gone:,} go, {found.num_titles_new:,} are new"
    lines.append(
        Text(f"Titles in them: {titles}.{_often('most often gone', found.often_gone)}{_often('new', found.often_new)}")
    )
    lines.append(Text(f"The shadow knows {known:.1%} of the {counted(found.num_live_events, 'event')} of the published texts."))
    return Group(*lines, *(_example(one, has_colours) for one in found.examples))


def _lengths(side: str, lengths: Lengths) -> tuple[str, str, str, str]:
    return side, f"{lengths.mean:,.1f}", f"{lengths.median:,.0f}", f"{lengths.most:,.0f}"


def _often(what: str, titles: Mapping[str, int]) -> str:
    named = ", ".join(f'"{printable(title)}" ({count:,})' for title, count in titles.items())
    return f" {what.capitalize()}: {named}." if named else ""


def _example(one: Example, has_colours: bool) -> Group:
    events = f"  {counted(one.num_live_events, 'event')}"
    if one.num_shadow_events != one.num_live_events:
        events += f", {one.num_shadow_events:,} in the shadow"
    heading = Text.assemble("\n", (printable(shown(one.tenant, one.user)), "bold"), (events, "dim"))
    return Group(heading, changed(one.live, one.shadow, has_colours))
