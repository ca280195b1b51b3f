"""Links that are secrets: whoever has one may look, and whoever guesses them is slowed down."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from sqlmodel import Session
from starlette.exceptions import HTTPException
from starlette.requests import Request

from integrations.portal.buckets import Buckets, client_of
from models.database import in_transaction

Result = TypeVar("Result")

#: A token as `models.parcel` and `models.customer_link` make it; anything else is not looked for.
TOKEN = re.compile(r"[A-Za-z0-9_-]{16,64}")
GONE = "这个链接不存在或已过期:请核对短信里的链接是否完整,或联系店铺客服。"
#: A wrong guess costs as much as this many looks at one's own page.
GUESS_COST = 12.0


class Links:
    """What the pages behind links share: the limit on guessing, and one answer for every token that shows nothing."""

    def __init__(self) -> None:
        self._looks = Buckets(burst=120, per_second=2)

    async def behind(self, request: Request, work: Callable[[Session, str], Result | None]) -> Result:
        """What `work` finds behind the token of this address, in one transaction.

        Raises `HTTPException`: 404, the same for every token that shows nothing (None), 429 after many guesses.
        """
        client = client_of(request)
        wait = self._looks.take(client)
        if wait:
            raise HTTPException(429, headers={"Retry-After": str(int(wait) + 1)})
        token = request.path_params["token"]
        found = None
        if TOKEN.fullmatch(token):
            found = await in_transaction(lambda session: work(session, token))
        if found is None:
            self._looks.charge(client, GUESS_COST)
            raise HTTPException(404, GONE)
        return found
