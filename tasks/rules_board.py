"""A draft and the history of the rules as artifacts: what changed, what is wrong, what to do next."""

from __future__ import annotations

from collections.abc import Sequence

from prefect.artifacts import acreate_markdown_artifact
from sqlmodel import Session

from models.database import in_transaction, utcnow
from models.rule_history import Standing, listed, when
from models.rule_version import KIND_WORDS, RuleActivation, RuleKind, activations
from models.table_check import Problem
from tasks.plain_text import plain
from tasks.rules import Draft

#: The key of the history of all rules; drafts have the kind behind theirs.
HISTORY = "rule-history"
MOST_ROWS = 60
MOST_VERSIONS = 20
LONGEST = 500


def draft_key(kind: RuleKind) -> str:
    """The key of the newest draft of this kind."""
    return f"rule-draft-{kind.value}"


async def show_draft(draft: Draft, by: str, note: str) -> None:
    """Write what came of a change. Twice: two entries in its history."""
    await acreate_markdown_artifact(
        key=draft_key(draft.kind),
        markdown=draft_markdown(draft, by, note),
        description=f"{KIND_WORDS[draft.kind][0]}第 {draft.number} 版草稿",
    )


async def show_history() -> None:
    """Write the versions of all rules as they are now, and who did what."""
    text = await in_transaction(history_markdown)
    await acreate_markdown_artifact(key=HISTORY, markdown=text, description="规则历史")


def draft_markdown(draft: Draft, by: str, note: str) -> str:
    """The draft for people: problems first, then what is different, then what to do."""
    name = f"{KIND_WORDS[draft.kind][0]}第 {draft.number} 版"
    lines = [f"# {name}:{'草稿有问题' if draft.problems else '可以试算'}", "", f"{plain(by)} {plain(note)}".strip(), ""]
    lines += _problems("要改好的问题", draft.problems)
    lines += _problems("启用前想一想", draft.warnings)
    lines += [f"## 和生效中的第 {draft.in_force} 版相比", ""]
    lines += _some([plain(said, LONGEST) for said in draft.differences]) or ["没有不同。"]
    lines += ["", "## 下一步", "", *_next(draft)]
    return "\n".join(lines)


def history_markdown(session: Session) -> str:
    """Every kind: its versions and where they are, and every activation with who, when and why."""
    now = utcnow()
    lines = [f"# 规则历史 · {when(now)}"]
    for kind in RuleKind:
        lines += ["", f"## {KIND_WORDS[kind][0]}", "", "| 版 | 状态 | 谁 | 何时 | 说明 | 试算 |"]
        found = listed(session, kind, now)
        lines += ["|---:|---|---|---|---|---|", *map(_row, found[:MOST_VERSIONS])]
        if len(found) > MOST_VERSIONS:
            lines += ["", f"另有 {len(found) - MOST_VERSIONS} 版更早的,用 `orderloom rules list {kind.value}` 看。"]
        lines += ["", *_some([_activation(*one) for one in reversed(activations(session, kind))])]
    return "\n".join(lines)


def _row(one: Standing) -> str:
    version, state = one.version, one.state[0]
    if version.discarded_at is not None:
        state += f",{plain(version.discarded_by)} {plain(version.discarded_why)}".rstrip()
    tried = f"{version.tried.get('orders', 0)} 单,会变 {version.tried.get('changed', 0)} 单" if version.tried else ""
    cells = (str(version.number), state, plain(version.made_by), when(version.made_at), plain(version.note), tried)
    return f"| {' | '.join(cells)} |"


def _activation(activation: RuleActivation, number: int) -> str:
    said = f"{when(activation.at)} {plain(activation.by)}:第 {number} 版自 {when(activation.from_at)} 生效"
    if activation.note:
        said += f",{plain(activation.note)}"
    if activation.untried_why:
        said += f";没有试算,理由:{plain(activation.untried_why)}"
    if activation.withdrawn_at is not None:
        why = f":{plain(activation.withdrawn_why)}" if activation.withdrawn_why else ""
        said += f";{when(activation.withdrawn_at)} 由 {plain(activation.withdrawn_by)} 撤回{why}"
    return said


def _problems(title: str, problems: Sequence[Problem]) -> list[str]:
    if not problems:
        return []
    return [f"## {title}", "", *_some([plain(str(problem), LONGEST) for problem in problems]), ""]


def _some(lines: Sequence[str]) -> list[str]:
    shown = [f"- {line}" for line in lines[:MOST_ROWS]]
    return [*shown, f"- 另有 {len(lines) - MOST_ROWS} 条"] if len(lines) > MOST_ROWS else shown


def _next(draft: Draft) -> list[str]:
    kind, number = draft.kind.value, draft.number
    tried = f"种类「{KIND_WORDS[draft.kind][0]}」,第 {number} 版"
    again = "要接着改这一份,再运行 `change-rules`。"
    if draft.problems:
        return [f"1. {again}", f"2. 不要了:运行 `activate-rules`,选「作废」,第 {number} 版。"]
    return [
        f"1. 试算:运行 `try-rules`,{tried}(命令行 `orderloom rules try {kind} {number}`)。",
        f"2. 启用:运行 `activate-rules`,选「启用」,第 {number} 版(命令行 `orderloom rules activate {kind} {number}`)。",
        f"3. {again}",
    ]
