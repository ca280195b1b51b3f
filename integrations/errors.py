"""What a platform can answer, in three classes that decide what happens next.

- `Later`: nothing happened over there; the same call may be made again after `retry_after` seconds.
- `Refused`: a definite no, which repeating will not change; a person or another way is needed.
- `Unclear`: it may have happened (time-out, broken connection, 5xx after the request was sent): ask before
  repeating, unless the platform holds the call to once by its key.
"""

from __future__ import annotations


class PlatformError(Exception):
    """A platform did not do what was asked. `platform` and `code` are its own words, `message` a sentence."""

    def __init__(self, platform: str, code: str, message: str) -> None:
        super().__init__(f"{platform} {code}: {message}")
        self.platform = platform
        self.code = code
        self.message = message


class Later(PlatformError):
    """Nothing happened; try again in `retry_after` seconds."""

    def __init__(self, platform: str, code: str, message: str, retry_after: float = 5.0) -> None:
        super().__init__(platform, code, message)
        self.retry_after = retry_after


class Refused(PlatformError):
    """A definite no that will not change by repeating."""


class Unclear(PlatformError):
    """It may have happened: ask first, then repeat."""


class Forged(PlatformError):
    """A message that came in does not carry a valid, fresh signature."""
