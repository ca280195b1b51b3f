"""The sentences of `explain`: Chinese first, English second, one for everything an order can be or wait for."""

from __future__ import annotations

from dataclasses import dataclass

from models.effect import EffectState
from models.fulfilment import WaitingOn
from models.notification import Node, NotificationState
from models.production import WorkState
from models.review import CaseState, Verdict
from models.timeline import EventKind
from models.wording import FAULT_WORDS

Pair = tuple[str, str]

#: What happened. `{…}` are entries of the event's detail.
EVENTS: dict[EventKind, Pair] = {
    EventKind.RECEIVED: ("从渠道接单 {name}", "taken in from the channel {name}"),
    EventKind.CHANGED_ON_CHANNEL: ("渠道上有变更:{before} → {after}", "changed on the channel: {before} → {after}"),
    EventKind.LINES_CHANGED: ("渠道改了商品:{changes}", "lines changed on the channel: {changes}"),
    EventKind.ADDRESS_CHANGED: ("客户改了收货地址,现在到 {region} {waybills}", "new address in {region} {waybills}"),
    EventKind.PARTLY_REFUNDED: ("平台自行退款 {amount},累计 {sum}", "the platform paid back {amount}, {sum} in all"),
    EventKind.REPLACED: ("改单以后由 {by} 发出:{lines}", "what is wanted now goes out as {by}: {lines}"),
    EventKind.PAYMENT_VERIFIED: ("付款已核实", "payment verified"),
    EventKind.PROFILE_FILLED: ("填写订单表单(第 {line} 行):{answers}", "order form filled in (line {line}): {answers}"),
    EventKind.RECIPE_MATCHED: ("配方已匹配:{recipes}", "recipes matched: {recipes}"),
    EventKind.RECIPE_CHANGED: ("审核换了配方:{recipes}", "the reviewer gave another recipe: {recipes}"),
    EventKind.RESERVED: ("库存已预留", "stock reserved"),
    EventKind.SPLIT: ("拆成几个包裹:{warehouses}{goods}", "split into parcels: {warehouses}{goods}"),
    EventKind.JOINED: ("合并回 {into}:{goods}", "put back into {into}: {goods}"),
    EventKind.MERGED: ("与 {company} 合并发货", "travels in one parcel with {company}"),
    EventKind.UNMERGED: ("不再与 {company} 合并发货:{reason}", "no longer in one parcel with {company}: {reason}"),
    EventKind.BUFFER_USED: ("动用了安全库存:{skus}", "the buffer was used for {skus}"),
    EventKind.BACKORDERED: (
        "库存不够,排队等到货:{missing},预计 {expected} 送达",
        "not enough stock, backordered: {missing}, expected {expected}",
    ),
    EventKind.FED: ("到货了,按付款先后分到:{skus}", "goods have come, first paid first served: {skus}"),
    EventKind.RESERVATION_LOST: ("预留被收回:{reason}", "the reservation was taken back: {reason}"),
    EventKind.RESERVATION_EXPIRED: ("预留过期,已释放", "the reservation expired and was released"),
    EventKind.STOCK_CHECK_OPENED: (
        "请仓库 {warehouse} 核对库存({check}),{due} 前答复",
        "warehouse {warehouse} is asked to check ({check}), by {due}",
    ),
    EventKind.STOCK_CHECK_ANSWERED: ("仓库答复 {check}:{there} {missing}", "stock check {check}: {there} {missing}"),
    EventKind.COMPENSATION_DUE: ("发不出去,转为补偿:{reason}", "cannot be filled, to be compensated: {reason}"),
    EventKind.COMPENSATION_STOPPED: ("补偿等人批准:{reason}", "compensation waits for a person: {reason}"),
    EventKind.COMPENSATION_DECIDED: ("补偿由人决定:{decision}", "compensation decided by a person: {decision}"),
    EventKind.COUPON_ISSUED: ("发放优惠券 {value}(尾号 {code})", "coupon of {value} issued (ending {code})"),
    EventKind.CORRECTED: ("人工改正后入库:{fields}", "entered after a person corrected {fields}"),
    EventKind.COUPON_REDEEMED: ("使用优惠券,抵 {value}", "coupon of {value} used"),
    EventKind.REFUND_ASKED: ("应退款 {amount}({refund_no}):{reason}", "refund of {amount} due ({refund_no}): {reason}"),
    EventKind.REFUND_REPORTED: ("退款 {refund_no} {amount}:{state} {problem}", "refund {refund_no}: {state} {problem}"),
    EventKind.REFUNDED: ("已全额退款了结:{reason}", "closed with a refund: {reason}"),
    EventKind.REOPENED: ("重新打开:{reason}", "opened again: {reason}"),
    EventKind.REVIEW_OPENED: ("送{role}审核:{reasons}", "sent to review{role}: {reasons}"),
    EventKind.REVIEW_ESCALATED: ("审核超时,{to} 也可以决定", "review overdue: {to} may decide too"),
    EventKind.REVIEW_DECIDED: ("{role}审核结论:{verdict} {note}", "review decided{role}: {verdict} {note}"),
    EventKind.APPROVED: ("已批准", "approved"),
    EventKind.RELEASED: ("已下发生产,批次 {batch_no}", "released to production, batch {batch_no}"),
    EventKind.PRODUCTION_REPORTED: ("工厂回报:{work_order} {state}", "the factory reports: {work_order} {state}"),
    EventKind.REWORKED: ("返工:{work_order} 由 {again} 重做", "{work_order} is made again as {again}"),
    EventKind.PRODUCED: ("备货完成", "ready to ship"),
    EventKind.WAYBILL_CREATED: ("已出运单 {waybill_no}", "waybill made: {waybill_no}"),
    EventKind.SHIPPED: ("已发货,运单 {waybill}", "shipped, waybill {waybill}"),
    EventKind.NOTIFIED: ("已通知客户({via} {node})", "customer told ({via} {node})"),
    EventKind.NOTIFY_FAILED: ("通知客户失败:{reason}", "telling the customer failed: {reason}"),
    EventKind.ROUTE_REPORTED: ("物流:{state}", "parcel: {state}"),
    EventKind.DELIVERED: ("客户已签收", "signed for"),
    EventKind.CLOSED: ("售后期满,已完结", "after-sales time over, closed"),
    EventKind.CANCEL_REQUESTED: ("要求取消:{reason}", "cancellation asked for: {reason}"),
    EventKind.CALLED_BACK: ("撤回 {what}:{stopped}", "called back {what}: {stopped}"),
    EventKind.CANCELLED: ("已取消:{reason}", "cancelled: {reason}"),
    EventKind.HELD: ("暂停:{reason}", "put on hold: {reason}"),
    EventKind.HOLD_RELEASED: ("解除暂停({code})", "hold released ({code})"),
    EventKind.WAITS: ("开始等待:{why}", "waits: {why}"),
    EventKind.SHIPPED_BY_PEOPLE: (
        "渠道显示已由人发货({shipped_at})",
        "people shipped it, says the channel ({shipped_at})",
    ),
    EventKind.RERUN: ("人工要求重跑:{reason}", "a person asked for a new run: {reason}"),
}


@dataclass(frozen=True)
class Wait:
    """One reason to wait: what it means, who can move the order and how, and what wakes it."""

    means: Pair
    move: Pair
    wakes: Pair


_RERUN = "`orderloom rerun {order_no} --reason …`"

WAITS: dict[WaitingOn, Wait] = {
    WaitingOn.PAYMENT: Wait(
        ("平台还没有确认付款。", "The platform has not confirmed the payment."),
        (
            f"客户付款即可;若平台已显示付款,运行 {_RERUN}。",
            f"The customer pays; if the platform shows it paid, run {_RERUN}.",
        ),
        ("渠道推送或下一次拉单(每 15 分钟)", "the channel's push or the next pull (every 15 minutes)"),
    ),
    WaitingOn.STOCK_CHECK: Wait(
        ("仓库有几分钟时间核对实物。", "The warehouse has some minutes to check the goods."),
        (
            "仓库在员工页面「库存核对」答复有货或没有货;不答复,到时按约定继续。",
            "The warehouse answers on the staff page for stock checks; silent, it goes on as agreed when time is up.",
        ),
        ("仓库的答复,或时间到", "the warehouse's answer, or the time running out"),
    ),
    WaitingOn.REVIEW: Wait(
        ("要由人审核。", "A person has to decide."),
        (
            "下面写明的审核人在 Prefect 界面打开名为 {order_no} 的挂起运行,点 Resume 填写审核表单。",
            "The reviewer named below opens the suspended run named {order_no} in the Prefect UI, presses Resume and"
            " fills in the review form.",
        ),
        ("审核结论", "the verdict"),
    ),
    WaitingOn.PRODUCTION: Wait(
        ("工厂正在生产。", "The factory is making it."),
        (
            f"催促找生产主管;工厂已完成却没有回报时,请 MES 重发回报,或运行 {_RERUN} 再看一次。",
            f"Ask the production manager; if it is made and the MES has not said so, have the MES report again, or"
            f" look again with {_RERUN}.",
        ),
        ("MES 的完工或失败回报", "the MES reporting it complete or failed"),
    ),
    WaitingOn.CARRIER: Wait(
        ("包裹在途。", "The parcel is on its way."),
        (
            f"无需操作;要立即查一次物流,运行 {_RERUN}。",
            f"Nobody has to act; to ask the carrier now run {_RERUN}.",
        ),
        ("快递的签收推送,或定时查询", "the carrier's push, or asking the carrier on time"),
    ),
    WaitingOn.CUSTOMER: Wait(
        ("要客户补充资料。", "The customer has to complete something."),
        (
            "客服联系客户,补全后解除下面的暂停。",
            "Customer service asks the customer, then releases the hold below.",
        ),
        ("解除暂停", "the hold being released"),
    ),
    WaitingOn.BACKORDER: Wait(
        ("库存不够。", "There is not enough stock."),
        (
            f"采购补货入库后自动继续;急用时入库后运行 {_RERUN}。",
            f"Purchasing restocks, and it goes on by itself; to go on at once, restock and run {_RERUN}.",
        ),
        ("到货时按付款先后分配,或到时再查", "goods arriving, first paid first served, or looking again on time"),
    ),
    WaitingOn.MERGE: Wait(
        ("要和同一客户的其他订单装在一个包裹里。", "It travels in one parcel with other orders of this customer."),
        (
            "要马上单独发出,在订单页按「取消合并」,或运行 `orderloom orders unmerge {order_no}`。",
            "To send it alone now, undo the merge on the order's page, or with `orderloom orders unmerge {order_no}`.",
        ),
        ("一起发的订单备好货,或到时不再等", "the others being ready, or the end of the time for waiting"),
    ),
    WaitingOn.REFUND: Wait(
        ("退款已提交,钱还没有到账。", "The refund was taken, the money is not there yet."),
        (
            f"无需操作;要马上问一次结果,运行 {_RERUN}。",
            f"Nobody has to act; to ask at once run {_RERUN}.",
        ),
        ("收款方的退款通知,或定时查询", "the keeper's callback, or asking on time"),
    ),
    WaitingOn.RETRY: Wait(
        ("上一步没有成功,会自动重试。", "The last step did not succeed and is tried again by itself."),
        (
            f"无需操作;不想等就运行 {_RERUN}。",
            f"Nobody has to act; to try at once run {_RERUN}.",
        ),
        ("重试时间到", "the time of the next try"),
    ),
    WaitingOn.PERSON: Wait(
        ("需要人来处理。", "A person has to act."),
        (
            f"按下面的暂停说明处理并解除;处理后可运行 {_RERUN}。",
            f"Do what the hold below says and release it; then {_RERUN} tries at once.",
        ),
        ("解除暂停", "the hold being released"),
    ),
}

#: After signing, waiting for the customer means something else.
AFTER_SALES = Wait(
    ("已签收,处于售后期。", "Signed for; the after-sales time runs."),
    ("无需操作,期满自动完结。", "Nobody has to act; it closes by itself."),
    ("售后期满", "the end of the after-sales time"),
)

#: Holds in English (what, who, how); in Chinese the hold itself says it. A trailing `_` stands for any ending.
HOLDS: dict[str, tuple[str, str, str]] = {
    "profile_incomplete": (
        "the order form is incomplete or contradictory",
        "customer service",
        "the customer completes it by the link, or staff on the order's page",
    ),
    "unread_news_": (
        "the channel told of a change that cannot be read",
        "customer service",
        "correct it in quarantine or on the channel, or release if it does not matter",
    ),
    "allergen_inside": (
        "the recipe has an allergen of the pet in it",
        "the nutritionist",
        "choose another recipe in the order's review, or correct the pet profile",
    ),
    "no_recipe": ("no recipe fits this pet", "the nutritionist", "name a recipe, or agree on a refund"),
    "paid_amount_differs": ("paid amount and total differ", "finance", "settle it on the platform, then release"),
    "production_failed_": ("the factory reports a failure", "the production manager", "release to remake, or cancel"),
    "factory_contradicts_": (
        "the factory says otherwise than before",
        "the production manager",
        "look at the goods with the factory, then release",
    ),
    "factory_silent_": (
        "the factory has not reported for hours",
        "the production manager",
        "have it report again; if it does not make it, cancel or compensate",
    ),
    "approved_without_recipe_": (
        "made to order, without a recipe",
        "the nutritionist",
        "look at the pet's answers, then release to match and review it again",
    ),
    "rework_short": ("not enough ingredients to remake it", "purchasing", "restock, then release"),
    "notify_failed": ("the message cannot be delivered", "customer service", "tell the customer the waybill number"),
    "keeps_failing": ("it has failed several times", "the service lead", "find the cause, then rerun the order"),
    "not_connected": ("a platform is not connected", "the service lead", "add its credentials, then rerun the order"),
    "refused_": ("a platform has refused it", "the service lead", "mend what it names, then rerun the order"),
    "reviewer_asks_": ("the reviewer asks the customer", "customer service", "get the answer, then release"),
    "made_already": ("already made, cannot be called back", "the production manager", "put it into stock or scrap it"),
    "parcel_gone": ("the waybill cannot be cancelled", "the warehouse supervisor", "have the carrier intercept it"),
    "in_shared_parcel": ("its goods are in a shared parcel", "the warehouse supervisor", "take them out, then release"),
    "cancel_after_shipping": ("cancelled after shipping", "customer service", "intercept the parcel or await return"),
    "refund_slow": ("a refund has not arrived for days", "finance", "look it up with whoever pays it, then release"),
    "refunded_twice": ("paid back twice", "finance", "get one of the two back, then release"),
    "refund_stuck": ("a refund cannot be paid", "finance", "pay it in another way, then say so on the order's page"),
    "compensation_limit": ("compensation is over its limit", "the service lead", "approve or decline it"),
    "stock_check_unanswered_": ("the warehouse did not answer", "the warehouse supervisor", "ask it, then release"),
    "changed_after_shipping_": ("less is wanted than was shipped", "customer service", "intercept it or await return"),
    "overmade_": ("more was made than is wanted", "the production manager", "put the rest into stock, then release"),
    "balance_due": ("a balance is due after an edit", "customer service", "have it paid, or the edit undone"),
    "address_changed": ("new address after the waybill", "customer service", "redirect the parcel, then release"),
    "shipped_elsewhere": ("shipped on the channel, not by us", "the warehouse supervisor", "cancel it or release"),
}

REVIEWS: dict[CaseState, Pair] = {
    CaseState.OPEN: ("{role}审核待决定,请在 {due} 前:{reasons}", "review{role} open, due {due}: {reasons}"),
    CaseState.DECIDED: (
        "{role}审核已由 {reviewer} 于 {at} 决定:{verdict}",
        "reviewed{role} ({reviewer}) at {at}: {verdict}",
    ),
    CaseState.WITHDRAWN: ("{role}审核已撤回,不再需要决定", "the review{role} was withdrawn, nothing to decide"),
}
VERDICTS: dict[Verdict, Pair] = {
    Verdict.APPROVE: ("批准", "approved"),
    Verdict.CHANGE_RECIPE: ("换配方", "another recipe"),
    Verdict.ASK_CUSTOMER: ("退回客户补充", "back to the customer"),
    Verdict.REJECT: ("拒绝并取消", "rejected and cancelled"),
}
EFFECTS: dict[EffectState, Pair] = {
    EffectState.CALLING: (
        "正在进行,最迟 {until} 有结果;在那以前不会有第二次",
        "under way, answered by {until}; nobody tries a second time before that",
    ),
    EffectState.INTENDED: ("已登记,还没有发出,会自动再试", "recorded, not sent yet, tried again by itself"),
    EffectState.UNCLEAR: (
        "不知道对方收到没有,{until} 以后会先问清楚再决定是否重发,不会做两次",
        "it is unclear whether it got through; after {until} the other side is asked or sent the very same,"
        " so it is not done twice",
    ),
    EffectState.DONE: ("已完成", "done"),
    EffectState.SHADOW: ("影子模式:本应发出,没有发出", "shadow mode: would have been sent, was not"),
    EffectState.REFUSED: ("被对方拒绝:{error}", "refused by the other side: {error}"),
    EffectState.GIVEN_UP: (
        "不知道是否成功,为免重复不再发送,请人工确认",
        "nobody knows whether it worked; not repeated, a person should check",
    ),
}
#: A call whose worker is gone.
ABANDONED: Pair = (
    "做这一步的进程没有回来,下一次处理会先问清楚",
    "whoever was at it did not come back; the next run asks first",
)
EFFECT_KINDS: dict[str, Pair] = {
    "waybill": ("出运单", "waybill"),
    "waybill_cancel": ("取消运单", "cancelling the waybill"),
    "production_release": ("下发生产", "release to production"),
    "production_cancel": ("撤回生产", "calling back production"),
    "ship_notice": ("回传平台发货", "telling the channel"),
    "sms": ("客户短信", "message to the customer"),
    "refund": ("退款", "refund"),
    "coupon": ("优惠券", "coupon"),
    "staff_message": ("员工消息", "message to staff"),
}
WORK: dict[WorkState, Pair] = {
    WorkState.REQUESTED: ("待下发", "to be released"),
    WorkState.RELEASED: ("已下发", "released"),
    WorkState.IN_PROGRESS: ("生产中", "in progress"),
    WorkState.COMPLETED: ("已完工", "completed"),
    WorkState.FAILED: ("生产失败", "failed"),
    WorkState.CALLED_BACK: ("已撤回", "called back"),
    WorkState.REWORKED: ("已返工", "made again"),
}
NOTIFICATIONS: dict[NotificationState, Pair] = {
    NotificationState.SENT: ("已发出", "sent"),
    NotificationState.DELIVERED: ("已送达", "delivered"),
    NotificationState.FAILED: ("没有送达:{reason}", "not delivered: {reason}"),
}
#: The moments at which a customer hears from us.
NODES: dict[str, Pair] = {
    Node.PROFILE: ("请客户补全订单表单", "asked to complete the order form"),
    Node.IN_PRODUCTION: ("开始制作,告知完成时间", "being made, with the time it will be done"),
    Node.SHIPPED: ("已发货", "shipped"),
    Node.BACKORDER: ("缺货,告知新日期", "backordered, with a new date"),
    Node.CANCELLED: ("已取消,退款", "cancelled, with the refund"),
    Node.COMPENSATED: ("已退款并补偿", "refunded, with a coupon"),
}
#: Where a parcel is.
PARCELS: dict[str, Pair] = {
    "created": ("已出单", "waybill made"),
    "picked_up": ("已揽收", "picked up"),
    "in_transit": ("运输中", "in transit"),
    "out_for_delivery": ("派送中", "out for delivery"),
    "exception": ("有异常", "an exception"),
    "signed": ("已签收", "signed for"),
    "returning": ("退回中", "coming back"),
}
#: What is wrong with an order in quarantine, in English; in Chinese the fault itself says it.
FAULTS: dict[str, str] = {code: english for code, (_, english) in FAULT_WORDS.items()}
