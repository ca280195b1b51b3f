"""`/help`: what the stages, the reasons to wait and the states mean, and who may do what."""

from __future__ import annotations

from sqlmodel import Session
from starlette.responses import Response

from integrations.portal.labels import EFFECT_STATES
from integrations.portal.people import MAY, ROLE_WORDS, Visit, page
from models.explain_words import AFTER_SALES, EFFECTS, WAITS
from models.wording import STAGE_WORDS

STAGES = {
    "received": "从渠道接到,还没有锁定库存。",
    "reserved": "商品或原料已预留给它,别人拿不走。",
    "approved": "不需要审核,或每个要审核的角色都已批准。",
    "produced": "要定制的已做好,现货已备好,可以出运单。",
    "shipped": "运单已生成,平台已标记发货。",
    "delivered": "快递显示已签收,进入 7 天售后期。",
    "closed": "售后期满,不会再有动作。",
    "cancelled": "已取消:生产和运单已撤回,库存已归还。",
    "refunded": "已全额退款。",
}
ACTIONS = {
    "decide": "决定请自己角色做的审核",
    "cancel": "取消订单",
    "arrange": "拆分订单、合并回,合并发货、取消合并",
    "release": "解除暂停",
    "fill_form": "代客户填写宠物档案",
    "wake": "现在再看一次",
    "stock": "登记到货、调整、调拨和盘点库存",
    "check_stock": "答复库存核对",
    "compensate": "批准、驳回、办理补偿,了结退不出去的退款",
    "correct": "改正隔离的订单,重新提交",
    "explain_gap": "核对渠道订单的缺口",
    "import": "导入表格订单,下载搁置的行",
    "see_coupons": "看到补偿券的券码",
}


@page
def explain_words(visit: Visit, session: Session) -> Response:
    """The words of the other pages, explained."""
    effects = {word: EFFECTS[state][0].format(until="约定时间", error="原因") for state, word in EFFECT_STATES.items()}
    roles = {ACTIONS[what]: "、".join(ROLE_WORDS[role] for role in sorted(may)) for what, may in MAY.items()}
    values = {
        "stages": [(STAGE_WORDS[name][0], meaning) for name, meaning in STAGES.items()],
        "waits": [(on.value, w.means[0], w.move[0].format(order_no="订单号"), w.wakes[0]) for on, w in WAITS.items()],
        "after_sales": AFTER_SALES,
        "effects": effects,
        "actions": roles,
    }
    return visit.render(session, "help.html", values)
