"""The language of the command line: Chinese, or English with `ORDERLOOM_LANGUAGE=en` or `--lang en`."""

from __future__ import annotations

import os


def in_english() -> bool:
    """Whether to speak English now."""
    return os.environ.get("ORDERLOOM_LANGUAGE", "zh") == "en"


def tell(chinese: str, english: str) -> str:
    """The sentence in the language of this process."""
    return english if in_english() else chinese


def explain_error(error: BaseException) -> str:
    """What an error says, in the language of this process if it has it in both."""
    return str(getattr(error, "english", error)) if in_english() else str(error)
