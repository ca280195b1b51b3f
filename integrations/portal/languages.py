"""Which language a page is shown in: Chinese, unless its reader asks for English."""

from __future__ import annotations

from starlette.requests import Request

ZH, EN = "zh", "en"


def language_of(request: Request) -> str:
    """`?lang=en` or `?lang=zh`; without it English for a browser that wants English most of all, else Chinese."""
    asked = request.query_params.get("lang", "")
    if asked in (ZH, EN):
        return asked
    wanted = request.headers.get("accept-language", "").strip().lower()
    return EN if wanted.startswith("en") else ZH
