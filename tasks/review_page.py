"""The page above the reviewer's form, as Markdown: everything to decide by, and what each verdict leads to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from models.feeding import ASSUMED_WORDS, FeedingPlan
from models.recipe import Recipe
from models.review import VERDICT_WORDS, CaseState, ReviewCase, Verdict
from models.review_duty import role_word
from models.review_sight import Earlier, SeenLine, Sight
from models.wording import CHANNEL_WORDS, NUTRIENT_WORDS, STAGE_WORDS, local, say, yuan
from tasks.plain_text import plain
from tasks.review_form import Choice

#: What comes of each verdict.
_FOLLOWS = {
    Choice.APPROVE: "订单自动继续:下发生产、发货、通知客户。",
    Choice.CHANGE_RECIPE: "换成您选的配方,同时换掉预留的原料,然后按批准继续。",
    Choice.ASK_CUSTOMER: "订单暂停,请客服联系客户;补充以后会重新送审。备注写明要问什么。",
    Choice.REJECT: "订单取消,库存退回,已付的款原路全额退回。备注写明理由。",
}


def page_of(sight: Sight, refused: str = "") -> str:
    """What the reviewer reads. `refused`: why what was filled in before could not be taken, in a sentence."""
    case, order = sight.case, sight.order
    overdue = f",已超时,**{role_word(case.escalated_to)}** 也可以决定" if case.escalated_to else ""
    parts = [
        f"> **上一次提交没有采纳**:{plain(refused, 500)}\n" if refused else "",
        f"## 订单 {order.order_no}({say(CHANNEL_WORDS, order.channel)})",
        f"请 **{role_word(case.role)}** 在 **{local(case.due_at)}** 前决定{overdue}。"
        f"金额 {yuan(order.total_fen)},下单 {local(order.placed_at)}。",
        "### 为什么要审核",
        *(f"- {plain(str(reason))}" for reason in case.reasons),
        _matrix(sight),
        *_others(sight.others),
        "### 商品",
        *(part for line in sight.lines for part in _line(line)),
        *([f"### 客户备注\n\n{plain(sight.note, 500)}"] if sight.note else []),
        "### 同一买家或收货人以前的订单",
        *_earlier(sight.earlier),
        "### 结论之后",
        *(f"- **{choice}**:{follows}" for choice, follows in _FOLLOWS.items() if _offered(choice, sight)),
    ]
    return "\n\n".join(_joined(parts))


def _joined(parts: Iterable[str]) -> Iterable[str]:
    """The parts with the lines of one list kept together."""
    block: list[str] = []
    for part in (part for part in parts if part):
        if block and not (part.startswith("- ") and block[-1].startswith("- ")):
            yield "\n".join(block)
            block = []
        block.append(part)
    if block:
        yield "\n".join(block)


def _offered(choice: Choice, sight: Sight) -> bool:
    return choice is not Choice.CHANGE_RECIPE or bool(sight.changeable)


def _matrix(sight: Sight) -> str:
    rows = f",行 {'、'.join(plain(row, 60) for row in sight.rows)}" if sight.rows else ""
    return f"审批矩阵第 {sight.matrix_number} 版{rows}。"


def _others(others: Sequence[ReviewCase]) -> list[str]:
    return [f"- {role_word(case.role)}:{_state(case)}" for case in others if case.state != CaseState.WITHDRAWN.value]


def _state(case: ReviewCase) -> str:
    """What has come of a case, in a line."""
    if case.verdict is None or case.decided_at is None:
        return f"待决定,{local(case.due_at)} 前"
    remark = f":{plain(case.note, 120)}" if case.note else ""
    return f"{local(case.decided_at)} {plain(case.reviewer, 40)} {VERDICT_WORDS[Verdict(case.verdict)]}{remark}"


def _line(line: SeenLine) -> list[str]:
    head = f"**{plain(line.title)}** × {line.quantity}(实付 {yuan(line.paid_fen)})"
    if not line.made_to_order:
        return [head]
    parts = [head, _table(("宠物档案", "回答"), [(plain(name, 60), plain(said)) for name, said in line.pet.items()])]
    if line.missing:
        parts.append(f"档案还缺或不对:{'、'.join(plain(name, 60) for name in line.missing)}。")
    parts += _recipe(line, line.recipe) if line.recipe else ["**还没有配方**:请选一个。"]
    return parts


def _recipe(line: SeenLine, recipe: Recipe) -> list[str]:
    special = ",**特殊配方**" if recipe.special else ""
    per_kg = list(recipe.grams_per_kg.values())
    rows = [
        (plain(title, 60), f"{per} g", f"{grams:,} g")
        for (title, grams), per in zip(line.ingredients, per_kg, strict=True)
    ]
    return [
        f"配方 **{plain(recipe.title)}**({plain(recipe.code, 60)}){special}",
        _table(("原料", "每公斤", "这一行"), rows, numbers=2),
        _nutrients(recipe),
        _feeding(line.feeding),
    ]


def _nutrients(recipe: Recipe) -> str:
    energy = [f"能量 {recipe.kcal_per_kg:,} 千卡/公斤"] if recipe.kcal_per_kg else []
    told = [f"{plain(say(NUTRIENT_WORDS, name), 40)} {percent:g} %" for name, percent in recipe.nutrients.items()]
    return f"营养:{'、'.join([*energy, *told])}。" if energy or told else ""


def _feeding(plan: FeedingPlan | None) -> str:
    if plan is None:
        return "喂食量算不出来:缺体重,或配方没有写能量。"
    assumed = f"({';'.join(ASSUMED_WORDS[name][0] for name in plan.assumed)})" if plan.assumed else ""
    lasts = f"每包吃 {plan.days_per_pack} 天,共 {plan.days} 天"
    return f"喂食:每天 {plan.kcal_per_day:,} 千卡,即 {plan.grams_per_day:,} g;{lasts}{assumed}。"


def _earlier(earlier: Sequence[Earlier]) -> list[str]:
    if not earlier:
        return ["没有,这是第一单。"]
    rows = [
        (
            one.order_no,
            local(one.placed_at),
            yuan(one.total_fen),
            "、".join(plain(code, 60) for code in one.recipes) or "–",
            ";".join(_state(case) for case in one.cases) or "免审",
            "、".join(say(STAGE_WORDS, stage) for stage in one.stages),
        )
        for one in earlier
    ]
    return [_table(("订单", "下单", "金额", "配方", "审核", "到哪一步"), rows)]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: int = 0) -> str:
    """A Markdown table; the last `numbers` columns are numbers."""
    if not rows:
        return ""
    rule = ["---"] * (len(head) - numbers) + ["---:"] * numbers
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))
