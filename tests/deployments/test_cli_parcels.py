"""`orderloom orders split | join | merge | unmerge` on a real database: sentences, exit codes, and whose name it is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlmodel import Session

from deployments.kept_secrets import KeptSecrets
from models.fulfilment import Stage
from models.settings import settings
from tests.deployments.command import Run, number
from tests.models.build import cans, incoming, made, open_shop, taken, walk


@pytest.fixture
def book(orderloom: Run, session: Session, tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """Two ready orders of one customer, and one that the factory works on; sealed as the command's book is."""
    secrets = KeptSecrets.load(tmp_path)  # type: ignore[arg-type]
    assert secrets is not None
    monkeypatch.setenv("ORDERLOOM_PRIVACY_KEY", secrets.privacy_key)
    settings.cache_clear()
    open_shop(session)
    for name in ("1", "2"):
        walk(session, taken(session, incoming(name, cans(3), made(2))).order_no, Stage.PRODUCED)
    session.commit()
    yield session
    settings.cache_clear()


def actors(session: Session, kind: str) -> int:
    return number(session, f"SELECT count(*) FROM order_event WHERE kind = '{kind}' AND actor = '王敏'")


def test_pieces_are_split_off_and_put_back(orderloom: Run, book: Session) -> None:
    split = orderloom("orders", "split", "sh-1001", "--take", "CAN-400=1", "--who", "王敏")
    assert (split.returncode, split.stdout.strip()) == (0, "已拆出 SH-1001-2,单独发出。"), split.stderr
    made_already = orderloom("orders", "split", "SH-1001", "--take", "2=1")
    assert made_already.returncode == 1 and "已经下发生产,不能再拆" in made_already.stderr

    joined = orderloom("orders", "join", "SH-1001", "1", "2", "--who", "王敏", "--lang", "en")
    assert (joined.returncode, joined.stdout.strip()) == (0, "put back into SH-1001-1, which goes as one.")
    again = orderloom("orders", "join", "SH-1001", "1", "2")
    assert again.returncode == 1 and "SH-1001-2 已经发货或了结" in again.stderr
    assert (actors(book, "split"), actors(book, "joined")) == (1, 1)


def test_orders_are_merged_and_parted(orderloom: Run, book: Session) -> None:
    merged = orderloom("orders", "merge", "SH-1001", "SH-1002-1", "--who", "王敏")
    assert (merged.returncode, merged.stdout.strip()) == (0, "SH-1001-1、SH-1002-1 会装在同一个包裹里发出。")
    parted = orderloom("orders", "unmerge", "SH-1002", "--who", "王敏")
    assert (parted.returncode, parted.stdout.strip()) == (0, "SH-1002-1 单独发出,不再合并。")
    assert (actors(book, "merged"), actors(book, "unmerged")) == (2, 2)

    alone, once_more = orderloom("orders", "merge", "SH-1001"), orderloom("orders", "unmerge", "SH-1002")
    unknown = orderloom("orders", "merge", "SH-1001", "SH-4711")
    assert alone.returncode == once_more.returncode == unknown.returncode == 1
    assert "至少要两个订单" in alone.stderr and "没有和别的订单合并" in once_more.stderr
    assert "没有订单 SH-4711" in unknown.stderr
    assert "Traceback" not in alone.stderr + once_more.stderr + unknown.stderr


@pytest.mark.parametrize("take", ["CAN-400", "CAN-400=x", "NONE=1", "9=1", "=1", ""])
def test_pieces_written_wrongly_are_explained(orderloom: Run, book: Session, take: str) -> None:
    said = orderloom("orders", "split", "SH-1001", "--take", take)
    assert said.returncode == 2
    assert "1 CAN-400" in said.stderr and "Traceback" not in said.stderr
    assert number(book, "SELECT count(*) FROM fulfilment") == 2
