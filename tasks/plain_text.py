"""Text of customers, platforms and sheets inside Markdown that we write: shown as it is, never followed.

Artifacts and forms are rendered by the Prefect UI; whatever Markdown, HTML or address such a text holds stays text.
"""

from __future__ import annotations

import re

#: What could mean something inside a line or a table cell of Markdown; an underscore inside a word does not.
_MEANS_SOMETHING = re.compile(r"[\\`*~\[\]|&<]|(?<![^\W_])_|_(?![^\W_])")
#: Addresses become links by themselves, with no Markdown around them; a word joiner, which is not seen, prevents it.
_ADDRESS = re.compile(r"://|\bwww(?=\.)|@", re.IGNORECASE)
_JOINER = "\u2060"


def plain(text: str, most: int = 300) -> str:
    """At most `most` characters of the text, on one line, for a place inside a line or a table cell of Markdown."""
    line = "".join(c for c in " ".join(text.split()) if c.isprintable())[:most]
    return _MEANS_SOMETHING.sub(_as_entity, _ADDRESS.sub(lambda found: found[0] + _JOINER, line))


def _as_entity(found: re.Match[str]) -> str:
    """Never a backslash before it: that could itself be escaped."""
    return "&lt;" if found[0] == "<" else f"&#{ord(found[0])};"
