"""What a channel takes for true although nobody could verify it: named once, where the module says what it is."""

from __future__ import annotations


def unverified(docstring: str | None) -> tuple[str, ...]:
    """The points of a docstring's list `Unverified:`, in order, each on one line; none when there is no such list."""
    _, _, listed = (docstring or "").partition("\nUnverified:\n")
    points: list[str] = []
    for line in listed.splitlines():
        if line.startswith("- "):
            points.append(line.removeprefix("- ").strip())
        elif points and line.strip():
            points[-1] += f" {line.strip()}"
    return tuple(points)
