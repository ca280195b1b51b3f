"""What people do about parcels on an order's page: split, put back, merge with other orders, and go alone again.

Each is one rule in one transaction, under the person's name; what is too late is said, and changes nothing.
"""

from __future__ import annotations

from sqlmodel import Session
from starlette.exceptions import HTTPException
from starlette.responses import Response

from integrations.portal.order_detail import path_of
from integrations.portal.people import Visit, page
from models import merge_desk
from models.fulfilment import Fulfilment, fulfilments_of
from models.joining import join
from models.merge_desk import MergeRefused, fulfilments_named
from models.order import Order, OrderUnknown, find_order
from models.settings import settings
from models.shared_parcel import CompanyBusy
from models.splitting import SplitRefused, numbers_of, split_off

#: The beginnings of a form's fields: pieces by order line, parts by number, fulfilments of other orders.
TAKE, WITH = "take-", "with-"


@page
def split(visit: Visit, session: Session) -> Response:
    """`POST …/split`: send the pieces that the form names by themselves. Twice: the second is told that it is split."""
    visit.must_be_allowed("arrange")
    order, part = _part(visit, session)
    try:
        pieces = {int(name.removeprefix(TAKE)): int(count) for name, count in _fields(visit, TAKE) if count.strip("0 ")}
        seen = int(visit.text("parts", 6)) if visit.text("parts", 6) else None
    except ValueError as error:
        raise HTTPException(400, "拆出的件数要写整数:请返回改正后再提交。没有任何改变。") from error
    try:
        new = split_off(session, order, pieces, visit.name, visit.now, number=part.number, seen=seen)
    except SplitRefused as refused:
        return visit.go(path_of(order.order_no), str(refused))
    sentence = f"已从 {order.order_no}-{part.number} 拆出 {order.order_no}-{new.number},各自发出。"
    return visit.go(path_of(order.order_no), sentence)


@page
def put_back(visit: Visit, session: Session) -> Response:
    """`POST …/join`: put the chosen parts together again. Twice: the second finds them together, and says so."""
    visit.must_be_allowed("arrange")
    order = _order(visit, session)
    wanted = {value for _, value in _fields(visit, WITH)}
    parts = [part for part in fulfilments_of(session, order.id or 0) if str(part.number) in wanted]
    minutes = settings().policy.stock_check_minutes
    try:
        numbers = [part.number for part in parts]
        whole = join(session, order, numbers, visit.name, visit.now, check_minutes=minutes)
    except SplitRefused as refused:
        return visit.go(path_of(order.order_no), str(refused))
    sentence = f"{numbers_of(order, parts)} 已合并回 {order.order_no}-{whole.number},一起发出。"
    return visit.go(path_of(order.order_no), sentence)


@page
def merge(visit: Visit, session: Session) -> Response:
    """`POST …/merge`: have a part travel in one parcel with those of other orders. Twice: it does so already."""
    visit.must_be_allowed("arrange")
    order, part = _part(visit, session)
    try:
        others = [one.id for _, name in _fields(visit, WITH) for one in fulfilments_named(session, name)]
        sentence = merge_desk.merge(session, [part.id or 0, *others], visit.name, visit.now)
    except OrderUnknown as error:
        raise HTTPException(404, str(error)) from error
    except (MergeRefused, CompanyBusy) as refused:
        sentence = str(refused)
    return visit.go(path_of(order.order_no), sentence)


@page
def unmerge(visit: Visit, session: Session) -> Response:
    """`POST …/unmerge`: have a part go alone; a waybill that all share is called back first. Twice: it goes alone."""
    visit.must_be_allowed("arrange")
    order, part = _part(visit, session)
    try:
        sentence = merge_desk.unmerge(session, part.id or 0, visit.name, visit.now)
    except (MergeRefused, CompanyBusy) as refused:
        sentence = str(refused)
    return visit.go(path_of(order.order_no), sentence)


def _order(visit: Visit, session: Session) -> Order:
    """The order of this address; the rules lock it. Raises `HTTPException` 404."""
    try:
        return find_order(session, visit.request.path_params["order_no"])
    except OrderUnknown as error:
        raise HTTPException(404, str(error)) from error


def _part(visit: Visit, session: Session) -> tuple[Order, Fulfilment]:
    """The part that the form names by its number. Raises `HTTPException` 404."""
    order = _order(visit, session)
    for part in fulfilments_of(session, order.id or 0):
        if str(part.number) == visit.form.get("part", ""):
            return order, part
    raise HTTPException(404, "没有说是哪一件:请从订单页再点一次。没有任何改变。")


def _fields(visit: Visit, prefix: str) -> list[tuple[str, str]]:
    return [(name, value) for name, value in visit.form.items() if name.startswith(prefix)]
