"""Reading what clients send: never more than a limit, never for longer than a while."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

FORM_BYTES = 16 * 1024
FORM_FIELDS = 360  # a sheet of orders has a choice for each of its 300 columns
READING_SECONDS = 15.0


async def read_body(request: Request, limit: int, seconds: float = READING_SECONDS) -> bytes:
    """The raw body. Raises `HTTPException`: 413 above `limit` bytes, 408 when it takes longer than `seconds`."""
    chunks, size = [], 0
    try:
        announced = int(request.headers.get("content-length", "0"))
        async with asyncio.timeout(seconds):
            if announced > limit:
                raise _too_large(limit)
            async for chunk in request.stream():
                chunks.append(chunk)
                size += len(chunk)
                if size > limit:
                    raise _too_large(limit)
    except (TimeoutError, ClientDisconnect) as error:
        raise HTTPException(408, "数据没有传完,请再试一次。", {"Connection": "close"}) from error
    except ValueError as error:
        raise HTTPException(400, "请求的长度写错了。", {"Connection": "close"}) from error
    return b"".join(chunks)


async def read_form(request: Request, limit: int = FORM_BYTES) -> dict[str, str]:
    """The fields of a URL-encoded form; of a repeated field the last. Raises `HTTPException` (400, 408, 413)."""
    body = await read_body(request, limit)
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=FORM_FIELDS))
    except ValueError as error:
        raise HTTPException(400, "表单读不懂,请返回上一页重新提交。") from error


def _too_large(limit: int) -> HTTPException:
    # the rest of the body is not read, so the connection cannot be used again
    return HTTPException(413, f"内容超过 {limit // 1024} KB,没有接收。", {"Connection": "close"})
