"""After-sales of the played Douyin shop (`afterSale.…`): a buyer applies, the seller accepts, money follows.

Accepting checks the version (`update_time`) when one is named. An application that is accepted, withdrawn or refused
can not be accepted again.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from integrations.sandbox.credentials import Credentials
from integrations.sandbox.douyin_errors import Failed
from integrations.sandbox.douyin_orders import CANCELLED, ORDER, PART_SHIPPED, SHIPPED, TO_SHIP, remaining, save
from integrations.sandbox.jobs import Handler, Post
from integrations.sandbox.world import Job, World

PLATFORM = "douyin"
AFTER_SALE = "douyin.after_sale"
#: `{"refund_status": 4}` when refunds shall fail.
OUTCOME = "douyin.after_sale_outcome"
PAYS = "douyin.after_sale_pays"
FIRST_ID = 7_089_614_287_562_000_000
PAYS_AFTER = 10.0  # sandbox seconds

APPLIED, SUCCESS, FAILED = 6, 12, 28
PENDING, REFUNDING, PAID = 1, 2, 3
RETURN, AFTER_SHIPPING, BEFORE_SHIPPING = 0, 1, 2
#: By type, what accepts it in `afterSale.operate`.
ACCEPTS = {RETURN: 101, AFTER_SHIPPING: 201, BEFORE_SHIPPING: 211}
STATUS_TEXT = {APPLIED: "待商家处理", SUCCESS: "同意退款", FAILED: "售后关闭", 7: "待买家退货"}


def apply_for_refund(
    world: World, order_id: str, at: datetime, *, fen: int | None = None, kind: int | None = None
) -> list[str]:
    """The buyer applies for every line of the order (`fen` each, by default all of it); the after-sales' ids.

    `kind` is the type, by default refund only. Raises `KeyError` for an unknown order.
    """
    order = world.get(ORDER, order_id)
    if order is None:
        raise KeyError(f"douyin has no order {order_id}")
    shipped = order["order_status"] not in (TO_SHIP, PART_SHIPPED)
    chosen = (AFTER_SHIPPING if shipped else BEFORE_SHIPPING) if kind is None else kind
    ids = []
    for line in order["sku_order_list"]:
        after_sale = _begun(world, line, line["pay_amount"] if fen is None else fen, chosen, at)
        _write(world, after_sale, at)
        ids.append(str(after_sale["info"]["after_sale_id"]))
    return ids


def withdraw(world: World, after_sale_id: str, at: datetime) -> None:
    """The buyer takes an application back. Raises `KeyError` for an unknown one."""
    known = world.get(AFTER_SALE, after_sale_id)
    if known is None:
        raise KeyError(f"douyin has no after-sale {after_sale_id}")
    known["info"]["after_sale_status"] = FAILED
    _write(world, known, at)


def refund_part(
    world: World, order_id: str, line_id: str, at: datetime, *, quantity: int | None = None, fen: int | None = None
) -> str:
    """A line of the order is paid back (`fen`, by default all of it), applied for, accepted and paid at once; its id.

    The order only ever says that a line was: a `quantity` other than the whole line raises `ValueError`, as does an
    unknown line; an unknown order raises `KeyError`.
    """
    order = world.get(ORDER, order_id)
    if order is None:
        raise KeyError(f"douyin has no order {order_id}")
    line = next((one for one in order["sku_order_list"] if one["order_id"] == line_id), None)
    if line is None or quantity not in (None, line["item_num"]):
        raise ValueError(f"order {order_id} has no line {line_id} of {quantity}")
    shipped = order["order_status"] not in (TO_SHIP, PART_SHIPPED)
    kind = AFTER_SHIPPING if shipped else BEFORE_SHIPPING
    amount = line["pay_amount"] if fen is None else fen
    after_sale = _begun(world, line, amount, kind, at)
    after_sale["info"] |= {"after_sale_status": SUCCESS, "refund_status": PAID}
    _write(world, after_sale, at)
    return str(after_sale["info"]["after_sale_id"])


def jobs(credentials: Credentials, portal_url: str) -> dict[str, Handler]:
    """Money arrives."""
    return {PAYS: _pay}


async def _pay(job: Job, world: World, post: Post) -> float | None:
    with world.transaction():
        known = world.get(AFTER_SALE, job.body["id"])
        if known is not None and known["info"]["refund_status"] == REFUNDING:
            known["info"]["refund_status"] = (world.get(OUTCOME, "") or {"refund_status": PAID})["refund_status"]
            _write(world, known, world.now())
    return None


def _begun(world: World, line: dict[str, Any], fen: int, kind: int, at: datetime) -> dict[str, Any]:
    """A new application for a line; the caller writes it."""
    info = {
        "after_sale_id": FIRST_ID + world.size(AFTER_SALE),
        "after_sale_status": APPLIED,
        "refund_status": PENDING,
        "refund_total_amount": fen,
        "after_sale_type": kind,
        "after_sale_apply_count": line["item_num"],
        "apply_time": int(at.timestamp()),
    }
    return {"info": info, "line": line["order_id"], "order": line["parent_order_id"], "remarks": []}


def _write(world: World, after_sale: dict[str, Any], at: datetime) -> None:
    """Write the after-sale, and into the order's line what it tells of it; wholly refunded, the order is closed."""
    info = after_sale["info"]
    info["update_time"] = int(at.timestamp())
    info["after_sale_status_desc"] = STATUS_TEXT.get(info["after_sale_status"], "")
    world.put(AFTER_SALE, str(info["after_sale_id"]), after_sale, at)
    order = world.get(ORDER, after_sale["order"])
    assert order is not None, "an after-sale belongs to an order"
    for line in order["sku_order_list"]:
        if line["order_id"] == after_sale["line"]:
            names = ("after_sale_status", "after_sale_type", "refund_status")
            line["after_sale_info"] = {name: info[name] for name in names}
    if all(line["after_sale_info"]["refund_status"] == PAID for line in order["sku_order_list"]):
        order["order_status"] = CANCELLED
    elif order["order_status"] == PART_SHIPPED and not any(remaining(order).values()):
        order["order_status"] = SHIPPED
    save(world, order, at)


def _known(world: World, after_sale_id: Any) -> dict[str, Any]:
    known = world.get(AFTER_SALE, str(after_sale_id))
    if known is None:
        raise Failed(20000, "isp.service-error:10000", "存在无效的售后单")
    return known


def _list(world: World, params: dict[str, Any]) -> dict[str, Any]:
    found = [one for one in world.window(AFTER_SALE) if one["order"] == str(params["order_id"])]
    page, size = int(params["page"]), int(params["size"])
    shown = found[page * size : (page + 1) * size]
    items = [
        {
            "aftersale_info": {
                "aftersale_id": str(one["info"]["after_sale_id"]),
                "aftersale_status": one["info"]["after_sale_status"],
                "related_id": one["line"],
            },
            "order_info": {"shop_order_id": one["order"], "related_order_info": [{"sku_order_id": one["line"]}]},
        }
        for one in shown
    ]
    more = (page + 1) * size < len(found)
    return {"items": items, "has_more": more, "total": len(found), "page": page, "size": len(shown)}


def _detail(world: World, params: dict[str, Any]) -> dict[str, Any]:
    known = _known(world, params["after_sale_id"])
    remarks = [
        {"after_sale_id": known["info"]["after_sale_id"], "order_id": int(known["order"]), "remark": remark}
        for remark in known["remarks"]
    ]
    order = {"shop_order_id": int(known["order"]), "sku_order_infos": [{"sku_order_id": int(known["line"])}]}
    process = {"after_sale_info": known["info"], "after_sale_shop_remarks": remarks}
    return {"process_info": process, "order_info": order}


def _remark(world: World, params: dict[str, Any]) -> dict[str, Any]:
    known = _known(world, params["after_sale_id"])
    known["remarks"].append(str(params["remark"]))
    _write(world, known, world.now())
    return {}


def _operate(world: World, params: dict[str, Any]) -> dict[str, Any]:
    if not 0 < len(params["items"]) <= 20:
        raise Failed(40004, "isv.parameter-invalid:11000", "items 数量不合法")
    done = []
    for item in params["items"]:
        known = _known(world, item["aftersale_id"])
        failed = _objection(known["info"], params["type"], item.get("update_time"))
        pays = failed is None and known["info"]["after_sale_type"] != RETURN
        world.count(PLATFORM, "refund", str(item["aftersale_id"]), took_effect=pays)
        if failed:
            raise failed
        known["info"]["after_sale_status"] = SUCCESS if pays else 7
        known["info"]["refund_status"] = REFUNDING if pays else PENDING
        _write(world, known, world.now())
        if pays:
            world.later(PAYS_AFTER, PAYS, {"id": str(item["aftersale_id"])})
        done.append({"aftersale_id": int(item["aftersale_id"]), "status_code": 0, "status_msg": ""})
    return {"items": done}


def _objection(info: dict[str, Any], operation: int, version: int | None) -> Failed | None:
    if info["after_sale_status"] != APPLIED:
        return Failed(50002, "isv.business-failed:20309541", "售后状态错误")
    if operation != ACCEPTS[info["after_sale_type"]]:
        return Failed(50002, "isv.business-failed:11005", "操作失败")
    if version is not None and version != info["update_time"]:
        return Failed(50002, "isv.business-failed:11006", "售后单已变更")
    return None


OPERATIONS: dict[str, Callable[[World, dict[str, Any]], dict[str, Any]]] = {
    "afterSale.List": _list,
    "afterSale.Detail": _detail,
    "afterSale.addOrderRemark": _remark,
    "afterSale.operate": _operate,
}
