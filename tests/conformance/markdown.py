"""Tables in Markdown, and the marks in a file between which they are written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def replaced_between(text: str, begin: str, end: str, body: str) -> str:
    """Return the text with another body between two marks. Raises ValueError if a mark is missing."""
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"no {begin} with {end} after it")
    return f"{before}{begin}\n\n{body}\n\n{end}{after}"
