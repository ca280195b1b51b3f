"""What a try-out came to, as an artifact that a business person reads at once; and its progress while it runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from uuid import UUID

from prefect.artifacts import acreate_markdown_artifact, acreate_progress_artifact, aupdate_progress_artifact

from models.matrix import ROLES
from models.order_form import OrderForm
from models.rule_version import KIND_WORDS, RuleKind
from models.tryout import Change
from models.tryout_tally import BECOMES
from models.wording import local
from tasks.plain_text import plain
from tasks.trying import Tryout
from tasks.tryout_picture import picture_of

#: Recipes that take each other's place, and questions, that are listed.
MOST_ROWS = 12
#: Percent; smaller steps of the progress bar are not told to Prefect.
STEP = 2.0

CHANGE_WORDS = {
    Change.NEW_REVIEW: "新增送审",
    Change.NO_REVIEW: "不再送审",
    Change.OTHER_ROLES: "换人审核",
    Change.OTHER_SLA: "审核时限不同",
    Change.OTHER_RECIPE: "换成别的配方",
    Change.NO_RECIPE: "变为没有配方",
    Change.RECIPE_FOUND: "变为有配方",
    Change.OTHER_COST: "原料成本不同",
    Change.HELD: "会因表单搁置",
    Change.FREED: "不再因表单搁置",
}
#: Which changes a kind of rules can bring about, in the order of the table.
OF_KIND = {
    RuleKind.MATRIX: (Change.NEW_REVIEW, Change.NO_REVIEW, Change.OTHER_ROLES, Change.OTHER_SLA),
    RuleKind.RECIPES: tuple(change for change in Change if change not in (Change.HELD, Change.FREED)),
    RuleKind.FORM: (Change.HELD, Change.FREED),
}


def artifact_key(kind: RuleKind) -> str:
    """The key of the newest try-out of this kind; its progress bar has `-progress` behind it."""
    return f"tryout-{kind.value}"


class ProgressBar:
    """The progress bar of one try-out, an artifact that is updated in steps."""

    def __init__(self, kind: RuleKind, number: int) -> None:
        self._key, self._said = f"{artifact_key(kind)}-progress", f"试算 {KIND_WORDS[kind][0]}第 {number} 版"
        self._id, self._shown = UUID(int=0), -STEP

    async def __call__(self, done: int, orders: int) -> None:
        """Show how far it is."""
        percent = 100.0 * done / orders if orders else 100.0
        if self._shown < 0:
            self._shown = percent
            self._id = await acreate_progress_artifact(percent, key=self._key, description=self._said)
        elif percent - self._shown >= STEP or (percent >= 100.0 > self._shown):
            self._shown = percent  # before the call: the next page may be done meanwhile
            await aupdate_progress_artifact(self._id, percent)


async def show_tryout(tryout: Tryout) -> None:
    """Write what a try-out came to. Twice: two entries in its history."""
    said = f"试算 {name_of(tryout)}"
    await acreate_markdown_artifact(key=artifact_key(tryout.past.kind), markdown=as_markdown(tryout), description=said)


def name_of(tryout: Tryout) -> str:
    """Which version was tried."""
    return f"{KIND_WORDS[tryout.past.kind][0]}第 {tryout.past.number} 版"


def headline(tryout: Tryout) -> str:
    """What it came to in one sentence."""
    tally = tryout.tally
    judged = tally.answered if tryout.past.kind is RuleKind.FORM else tally.ruled
    if not judged:
        return f"最近 {tryout.days} 天没有可以试算的订单。"
    if not tally.changed:
        return f"最近 {tryout.days} 天的 {judged:,} 单,没有一单会不同。"
    said = f"最近 {tryout.days} 天的 {judged:,} 单里,{tally.changed:,} 单({_share(tally.changed, judged)})会不同"
    if tryout.past.kind is RuleKind.FORM:
        return f"{said}:{tally.changes[Change.HELD]:,} 单会因表单搁置。"
    if tally.reviewed_before == tally.reviewed_after:
        return f"{said};送审仍是 {tally.reviewed_after:,} 单。"
    return f"{said};送审从 {tally.reviewed_before:,} 单变为 {tally.reviewed_after:,} 单。"


def as_markdown(tryout: Tryout) -> str:
    """For people: order numbers, never what is in an order."""
    names = _names(tryout)
    parts = [
        f"# 试算 {name_of(tryout)}",
        "",
        f"**{headline(tryout)}**",
        "",
        *_warnings(tryout),
        *_before_and_after(tryout),
        "",
        picture_of(tryout, names),
        "",
        *_recipes(tryout, names),
        *_questions(tryout, names),
        *_sample(tryout),
        "## 下一步",
        "",
        *_next_step(tryout),
        "",
        f"{plain(tryout.by)} 试算于 {local(tryout.at)},用时 {tryout.seconds:.0f} 秒。对照的是当时实际的决定;"
        f"其余规则按现在生效的版本:{_against(tryout)}。没有改变任何订单。",
    ]
    return "\n".join(parts)


def _warnings(tryout: Tryout) -> Iterator[str]:
    tally = tryout.tally
    if tally.broken:
        yield (
            f"⚠ **有 {tally.broken:,} 单,这一版规则无法判断**(启用后会交给营养师):见下面的「规则无法判断」,"
            "改好后再试算。\n"
        )
    unruled = tally.orders - tally.ruled
    if unruled and tryout.past.kind is not RuleKind.FORM:
        yield f"另有 {unruled:,} 单没有决定的记录(还没有审到,或在开始记录之前),没有计入。\n"


def _before_and_after(tryout: Tryout) -> Iterator[str]:
    tally, kind = tryout.tally, tryout.past.kind
    if kind is RuleKind.FORM:
        yield from ("| 变化 | 单数 | 占填过表单的 |", "|---|---:|---:|")
        for change in OF_KIND[kind]:
            count = tally.changes[change]
            yield f"| {CHANGE_WORDS[change]} | {count:,} | {_share(count, tally.answered)} |"
        return
    yield from ("| | 之前 | 之后 | 相差 |", "|---|---:|---:|---:|")
    through = tally.ruled - tally.reviewed_before, tally.ruled - tally.reviewed_after
    yield _row("送审(单)", tally.reviewed_before, tally.reviewed_after)
    yield _row("直通(单)", *through)
    shares = [_share(count, tally.ruled) for count in through]
    yield f"| 直通占比 | {shares[0]} | {shares[1]} | {_points(through, tally.ruled)} |"
    for role in sorted(tally.roles_before.keys() | tally.roles_after.keys()):
        yield _row(f"{ROLES.get(role, plain(role))}要看的(单)", tally.roles_before[role], tally.roles_after[role])
    if kind is RuleKind.RECIPES:
        yield _row("没有配方的定制行", tally.recipes_before[""], tally.recipes_after[""])
        if tally.priced:
            yield _money(f"原料成本(元,{tally.priced:,} 单)", tally.cost_before_fen, tally.cost_after_fen)
            each = (round(fen / tally.priced) for fen in (tally.cost_before_fen, tally.cost_after_fen))
            yield _money("每单原料成本(元)", *each)
        if tally.made > tally.priced:
            yield f"\n{tally.made - tally.priced:,} 单的原料成本算不出:食材缺价格,或没有配方。"
    if tally.changed:
        yield from ("", "| 变化 | 单数 |", "|---|---:|")
    for change in OF_KIND[kind]:
        if tally.changes[change]:
            yield f"| {CHANGE_WORDS[change]} | {tally.changes[change]:,} |"


def _recipes(tryout: Tryout, names: dict[str, str]) -> Iterator[str]:
    if not tryout.tally.swaps:
        return
    yield from ("## 换配方最多的", "", "| 之前 | 之后 | 定制行 |", "|---|---|---:|")
    for pair, count in tryout.tally.swaps.most_common(MOST_ROWS):
        before, after = (plain(names.get(code, code)) if code else "没有配方" for code in pair.split(BECOMES))
        yield f"| {before} | {after} | {count:,} |"
    yield ""


def _questions(tryout: Tryout, names: dict[str, str]) -> Iterator[str]:
    if not tryout.tally.asked:
        return
    known = {name for body in tryout.past.rules.past.values() for name in body["schema"].get("properties", {})}
    yield from ("## 要重新问的问题", "", "| 问题 | 情况 | 单数 |", "|---|---|---:|")
    for key, count in tryout.tally.asked.most_common(MOST_ROWS):
        name, _, how = key.rpartition(":")
        said = "答案不合要求" if how == "wrong" else "缺答案" if name in known else "新问题,以前没有问过"
        yield f"| {plain(names.get(name, name))} | {said} | {count:,} |"
    yield ""


def _sample(tryout: Tryout) -> Iterator[str]:
    sample = tryout.tally.sample()
    if not sample:
        return
    yield from ("## 受影响的订单(抽样)", "", "| 订单 | 变化 | 之前 → 之后 |", "|---|---|---|")
    words = {**{change.value: said for change, said in CHANGE_WORDS.items()}, "broken": "规则无法判断"}
    for kind, order in sample:
        yield f"| {order.order_no} | {words[kind]} | {plain(order.words)} |"
    yield ""


def _next_step(tryout: Tryout) -> Sequence[str]:
    kind, number = tryout.past.kind.value, tryout.past.number
    if tryout.past.against[kind] == number:
        return ["这一版正在生效,不用再启用。"]
    activate = f"`activate-rules`,种类 `{kind}`,版本 `{number}`"
    return [
        f"- 和想要的一样:在 Deployments 里运行 {activate};已接的订单仍按原来的版本。",
        "- 不一样:用 `change-rules` 改出新的草稿,再试算。这一版不启用就不会影响任何订单。",
    ]


def _names(tryout: Tryout) -> dict[str, str]:
    """Code of a recipe, or question of the form → what it is called."""
    rules = tryout.past.rules
    bodies = [*rules.past.values(), rules.bodies[rules.kind]]
    if tryout.past.kind is RuleKind.FORM:
        return {each.name: each.title() for body in bodies for each in OrderForm(body).fields}
    return {recipe["code"]: recipe["title"] for body in bodies for recipe in body.get("recipes", ())}


def _against(tryout: Tryout) -> str:
    others = {kind: number for kind, number in tryout.past.against.items() if kind != tryout.past.kind.value}
    return "、".join(f"{KIND_WORDS[RuleKind(kind)][0]}第 {number} 版" for kind, number in sorted(others.items()))


def _row(name: str, before: int, after: int) -> str:
    return f"| {name} | {before:,} | {after:,} | {f'{after - before:+,}' if after != before else '–'} |"


def _money(name: str, before_fen: int, after_fen: int) -> str:
    yuan = (before_fen / 100, after_fen / 100, (after_fen - before_fen) / 100)
    return f"| {name} | {yuan[0]:,.2f} | {yuan[1]:,.2f} | {yuan[2]:+,.2f} |"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}%" if whole else "–"


def _points(parts: tuple[int, int], whole: int) -> str:
    return f"{100 * (parts[1] - parts[0]) / whole:+.1f} 个百分点" if whole else "–"
