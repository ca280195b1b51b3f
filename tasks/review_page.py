"""What a reviewer reads above the form, as Markdown: everything to decide by, and what each verdict leads to.

The Prefect UI shows it in a dialog 32 rem wide, as the help of a question. There a single line break is a blank, so
there are paragraphs and loose lists, and no tables.
"""

from __future__ import annotations

from collections.abc import Sequence

from models.feeding import ASSUMED_WORDS, FeedingPlan
from models.recipe import Recipe
from models.review import VERDICT_WORDS, CaseState, ReviewCase, Verdict
from models.review_duty import role_word
from models.review_sight import Earlier, SeenLine, Sight
from models.wording import CHANNEL_WORDS, NUTRIENT_WORDS, STAGE_WORDS, local, say, yuan
from tasks.plain_text import plain

#: What comes of each verdict; the words are those of the form.
FOLLOWS = {
    Verdict.APPROVE: ("批准", "订单自动继续:下发生产、发货、通知客户。"),
    Verdict.CHANGE_RECIPE: ("换配方", "换成您选的配方,预留的原料一起换,然后按批准继续。"),
    Verdict.ASK_CUSTOMER: ("退回客户补充", "订单暂停,请客服联系客户,补充以后重新送审。备注写要问什么。"),
    Verdict.REJECT: ("拒绝并退款", "订单取消,库存退回,已付的款原路全额退回。备注写理由。"),
}


def page_of(sight: Sight, refused: str = "") -> str:
    """What the reviewer reads. `refused`: why what was filled in before could not be taken, in a sentence."""
    case, order = sight.case, sight.order
    overdue = f",已超时,**{role_word(case.escalated_to)}** 也可以决定" if case.escalated_to else ""
    parts = [
        f"> **上一次提交没有采纳**:{plain(refused, 500)}" if refused else "",
        f"## 订单 {order.order_no}({say(CHANNEL_WORDS, order.channel)})",
        f"请 **{role_word(case.role)}** 在 **{local(case.due_at)}** 前决定{overdue}。"
        f"金额 {yuan(order.total_fen)},下单 {local(order.placed_at)}。",
        f"**为什么要审核**:{';'.join(plain(str(reason)) for reason in case.reasons)}。({_matrix(sight)})",
        *_others(sight.others),
        *(part for line in sight.lines for part in _line(line)),
        f"**客户备注**:{plain(sight.note, 500)}" if sight.note else "",
        *_earlier(sight.earlier),
        "**结论之后**",
        *(f"- **{word}**:{follows}" for verdict, (word, follows) in FOLLOWS.items() if _offered(verdict, sight)),
    ]
    return "\n\n".join(part for part in parts if part)


def _offered(verdict: Verdict, sight: Sight) -> bool:
    return verdict is not Verdict.CHANGE_RECIPE or bool(sight.changeable)


def _matrix(sight: Sight) -> str:
    rows = f",行 {'、'.join(plain(row, 60) for row in sight.rows)}" if sight.rows else ""
    return f"审批矩阵第 {sight.matrix_number} 版{rows}"


def _others(others: Sequence[ReviewCase]) -> list[str]:
    told = [f"- {role_word(case.role)}:{_state(case)}" for case in others if case.state != CaseState.WITHDRAWN.value]
    return ["**其他审核**", *told] if told else []


def _state(case: ReviewCase) -> str:
    """What has come of a case, in a line."""
    if case.verdict is None or case.decided_at is None:
        return f"待决定,{local(case.due_at)} 前"
    remark = f":{plain(case.note, 120)}" if case.note else ""
    return f"{local(case.decided_at)} {plain(case.reviewer, 40)} {VERDICT_WORDS[Verdict(case.verdict)]}{remark}"


def _line(line: SeenLine) -> list[str]:
    head = f"**商品**:{plain(line.title)} × {line.quantity}(实付 {yuan(line.paid_fen)})"
    if not line.made_to_order:
        return [head]
    pet = "、".join(f"{plain(name, 60)} {plain(said)}" for name, said in line.pet.items())
    parts = [head, f"**宠物档案**:{pet}。" if pet else "**宠物档案**:没有填。"]
    if line.missing:
        parts.append(f"档案还缺或不对:{'、'.join(plain(name, 60) for name in line.missing)}。")
    return [*parts, *(_recipe(line, line.recipe) if line.recipe else ["**还没有配方**:请选一个。"])]


def _recipe(line: SeenLine, recipe: Recipe) -> list[str]:
    special = ",**特殊配方**" if recipe.special else ""
    inside = "、".join(f"{plain(title, 60)} {per_kg} g(共 {grams:,} g)" for title, per_kg, grams in line.ingredients)
    energy = [f"能量 {recipe.kcal_per_kg:,} 千卡/公斤"] if recipe.kcal_per_kg else []
    nutrients = [f"{plain(say(NUTRIENT_WORDS, name), 40)} {percent:g} %" for name, percent in recipe.nutrients.items()]
    return [
        f"**配方**:{plain(recipe.title)}({plain(recipe.code, 60)}){special}。原料每公斤:{inside}。",
        f"**营养**:{'、'.join([*energy, *nutrients])}。" if energy or nutrients else "",
        f"**喂食**:{_feeding(line.feeding)}",
    ]


def _feeding(plan: FeedingPlan | None) -> str:
    if plan is None:
        return "算不出来:缺体重,或配方没有写能量。"
    assumed = f"({';'.join(ASSUMED_WORDS[name][0] for name in plan.assumed)})" if plan.assumed else ""
    lasts = f"每包吃 {plan.days_per_pack} 天,共 {plan.days} 天"
    return f"每天 {plan.kcal_per_day:,} 千卡,即 {plan.grams_per_day:,} g;{lasts}{assumed}。"


def _earlier(earlier: Sequence[Earlier]) -> list[str]:
    if not earlier:
        return ["**以前的订单**:同一买家或收货人没有,这是第一单。"]
    return ["**同一买家或收货人以前的订单**", *(f"- {_earlier_line(one)}" for one in earlier)]


def _earlier_line(one: Earlier) -> str:
    recipes = f",配方 {'、'.join(plain(code, 60) for code in one.recipes)}" if one.recipes else ""
    reviews = ";".join(_state(case) for case in one.cases) or "免审"
    stages = "、".join(say(STAGE_WORDS, stage) for stage in one.stages)
    return f"{one.order_no}:{local(one.placed_at)},{yuan(one.total_fen)}{recipes};{reviews};{stages}"
