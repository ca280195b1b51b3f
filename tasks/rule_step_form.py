"""What people fill in to try a version of the rules, and to have it hold or not: forms of the Prefect UI."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel
from sqlmodel import Session

from models.past_orders import MOST_DAYS
from models.rule_activation import activate_when_fit, roll_back, withdraw
from models.rule_desk import discard
from models.rule_step import Done
from models.rule_version import RuleKind, RulesRefused
from models.wording import TZ
from tasks.rule_forms import KindWord, kind_named, shown, titled


class TryStep(BaseModel):
    """Which version is to be tried, on how many days of orders."""

    model_config = shown("试算", "只是试算,什么都不改变")

    kind: KindWord = titled("种类", at=1)
    number: int = titled("第几版", at=2, ge=1)
    days: int = titled("最近几天的订单", f"1 到 {MOST_DAYS}", at=3, default=30, ge=1, le=MOST_DAYS)
    your_name: str = titled("谁", "你的姓名,记录里会写明是谁试算的", at=4, min_length=1, max_length=64)

    @property
    def which(self) -> RuleKind:
        """The kind of rules."""
        return kind_named(self.kind)


class RuleStep(BaseModel):
    """What is to be done with a version."""

    model_config = shown("启用、退回、撤回、作废", "之前来的订单按它们原来的版本,不受影响")

    what: Literal["启用", "退回", "撤回", "作废"] = titled(
        "做什么", "启用一版;退回到上一版;撤回还没有到时间的启用;作废一份草稿", at=1
    )
    kind: KindWord = titled("种类", at=2)
    number: int = titled("第几版", "退回时填现在生效的那一版", at=3, default=0, ge=0)
    from_at: datetime | None = titled("从什么时候起", "启用时才填;不填就是现在", at=4, default=None)
    your_name: str = titled("谁", "你的姓名,写进规则历史", at=5, min_length=1, max_length=64)
    note: str = titled("说明", "为什么,写进规则历史", at=6, default="", max_length=1000)
    untried: bool = titled("不试算直接启用", "只在等不及时用,要写明理由", at=7, default=False)
    untried_why: str = titled("不试算的理由", "写进规则历史", at=8, default="", max_length=1000)

    def step(self, session: Session, now: datetime) -> Done:
        """Do it. Raises `RulesRefused`."""
        kind = kind_named(self.kind)
        if not self.number:
            which = "现在生效的是第几版:两个人同时退回才不会退两次" if self.what == "退回" else "第几版"
            raise RulesRefused(f"要填{which}。没有任何改变。")
        if self.what == "退回":
            return roll_back(session, kind, self.your_name, self.note, now, leaving=self.number)
        if self.what == "撤回":
            return withdraw(session, kind, self.number, self.your_name, self.note, now)
        if self.what == "作废":
            return discard(session, kind, self.number, self.your_name, self.note, now)
        why = self.untried_why if self.untried else ""
        return activate_when_fit(session, kind, self.number, self.start, self.your_name, self.note, now, why)

    @property
    def start(self) -> datetime | None:
        """When it begins to hold: a time without a zone is one of China."""
        if self.from_at is None or self.from_at.tzinfo is not None:
            return self.from_at
        return self.from_at.replace(tzinfo=TZ)

    def named(self, done: Done) -> str:
        """What lists of runs show of what came of it."""
        if not done.changed:
            return "没有改变"
        words = {"启用": "将启用" if done.later else "已启用", "退回": "已退回到", "撤回": "已撤回", "作废": "已作废"}
        return f"{words[self.what]} {self.kind}第 {done.number} 版"
