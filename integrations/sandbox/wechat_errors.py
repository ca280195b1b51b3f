"""How the played WeChat shop says no."""

from __future__ import annotations


class Failed(Exception):
    """An answer with an errcode."""

    def __init__(self, errcode: int, errmsg: str) -> None:
        super().__init__(errmsg)
        self.errcode = errcode
