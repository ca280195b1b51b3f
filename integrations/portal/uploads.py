"""Forms with a file in them: bounded, and read only for people who are signed in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import Response

from integrations.portal.bodies import read_body
from integrations.portal.people import COOKIE, Visit, check_form, form_token, to_sign_in
from integrations.spreadsheets.cells import MOST_BYTES
from models import staff
from models.database import in_transaction, utcnow

#: What the other fields and the boundaries may come to.
FIELDS_BYTES = 16 * 1024
FIELDS = 10
UPLOAD_SECONDS = 60.0


@dataclass(frozen=True)
class Upload:
    """The one file of a form."""

    name: str
    data: bytes


Work = Callable[[Visit, Upload], Awaitable[Response]]


def upload_page(work: Work) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that takes a form with a file from the person who is signed in, and hands both to `work`.

    Nobody signed in: to the sign-in page, and the file is not read. A form that is not ours: 403.
    """

    async def endpoint(request: Request) -> Response:
        cookie = request.cookies.get(COOKIE, "")
        person = await in_transaction(lambda session: staff.who(session, cookie, utcnow())) if cookie else None
        if person is None:
            return to_sign_in(request)
        form, upload = await _read(request)
        csrf = form_token(cookie)
        check_form(request, form, csrf)
        return await work(Visit(request, person.name, person.role, csrf, form, utcnow()), upload)

    return endpoint


async def _read(request: Request) -> tuple[dict[str, str], Upload]:
    body = await read_body(request, MOST_BYTES + FIELDS_BYTES, UPLOAD_SECONDS)
    try:
        parser = MultiPartParser(
            request.headers, _stream(body), max_files=1, max_fields=FIELDS, max_part_size=FIELDS_BYTES
        )
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError, AssertionError) as error:
        raise HTTPException(400, "表单读不懂,请返回上一页重新选择文件再提交。") from error
    try:
        fields = {name: value for name, value in form.items() if isinstance(value, str)}
        file = form.get("file")
        if not isinstance(file, UploadFile) or not file.filename:
            return fields, Upload("", b"")
        return fields, Upload(file.filename.replace("\\", "/").rpartition("/")[2], await file.read())
    finally:
        await asyncio.shield(form.close())


async def _stream(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body
