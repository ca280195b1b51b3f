"""How the played Douyin shop says no."""

from __future__ import annotations


class Failed(Exception):
    """An answer with a code other than 10000."""

    def __init__(self, code: int, sub_code: str, sub_msg: str) -> None:
        super().__init__(sub_msg)
        self.code = code
        self.sub_code = sub_code
