"""Requests on a schedule of their own: each is sent when it is due, whatever became of those before it.

Its latency counts from the moment it was due to the last byte of the answer. So a server that stalls is charged for
every request that came meanwhile; who sends the next one only after the answer leaves those out ("coordinated
omission", Gil Tene). Moments are drawn at random (Poisson), as many senders who know nothing of each other make them.
Plain HTTP/1.1 over kept connections, as many as are needed: a client with more comfort would cost more than the
server that is measured.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.benchmarks.pushes import Push

#: Seconds until an answer that has not come is none: the platforms' patience.
PATIENCE = 5.0
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True)
class Answer:
    """What became of one request. `status` 0: none came; `late` seconds passed from `due` to sent, in our process."""

    push: Push
    due: float
    status: int
    seconds: float
    late: float

    @property
    def as_it_should_be(self) -> bool:
        """A forged push was turned away, any other taken."""
        return self.status == (401 if self.push.forged else 200)


class Senders:
    """Everybody who pushes to one address."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._idle: list[Connection] = []

    async def fire(self, pushes: Sequence[Push], per_second: float, seed: int = 11) -> list[Answer]:
        """Send them all, so many a second on average; the answers in the order of sending."""
        rng, due = random.Random(seed), time.perf_counter() + 0.5
        sent = []
        for push in pushes:
            due += rng.expovariate(per_second)
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            sent.append(asyncio.create_task(self._send(push, due)))
        answers = await asyncio.gather(*sent)
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()
        return list(answers)

    async def _send(self, push: Push, due: float) -> Answer:
        late = time.perf_counter() - due
        try:
            async with asyncio.timeout(PATIENCE):
                status = await self._exchange(push)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            status = 0
        return Answer(push, due, status, time.perf_counter() - due, late)

    def _kept(self) -> Connection | None:
        """A connection that is open still: the portal closes what was idle for long, as every server does."""
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.close()
        return None

    async def _exchange(self, push: Push) -> int:
        reader, writer = self._kept() or await asyncio.open_connection(self._host, self._port)
        headers = {"Host": f"{self._host}:{self._port}", "Content-Length": str(len(push.body)), **push.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        try:
            writer.write(f"POST {push.path} HTTP/1.1\r\n{head}\r\n".encode() + push.body)
            answered = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(answered)
            assert length is not None, "an answer without a length"
            await reader.readexactly(int(length[1]))
        except BaseException:
            writer.close()
            raise
        self._idle.append((reader, writer))
        return int(answered.split(None, 2)[1])
