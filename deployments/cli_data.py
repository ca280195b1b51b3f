"""`orderloom backup | restore | catalogue | staff`: what is kept, sold and who may sign in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deployments.cli import Lang, StateDir, prepare
from deployments.language import tell

app = typer.Typer()
catalogue = typer.Typer(no_args_is_help=True, help=tell("商品和库存", "Products and stock"))
staff = typer.Typer(no_args_is_help=True, help=tell("员工账号:一人一个", "Staff accounts, one per person"))
app.add_typer(catalogue, name="catalogue")
app.add_typer(staff, name="staff")


@app.command(help=tell("备份两个数据库(运行中也可以)。", "Back up both databases, also while running."))
def backup(
    directory: Annotated[Path, typer.Argument(help=tell("放在哪个目录下", "the directory to put it in"))] = Path("."),
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    config = prepare(state_dir, lang)
    from deployments.backup import backup as make_backup
    from deployments.book_access import order_book

    with order_book(config) as url:
        made = make_backup(url, directory)
    typer.echo(tell(f"备份在 {made}", f"The backup is {made}"))
    key = config.state_dir / "secrets.json"
    typer.echo(
        tell(
            f"没有密钥就读不出客户的电话和地址:请把 {key} 另外妥善保存一份,不要和备份放在一起。",
            f"Phones and addresses open only with their key: keep a copy of {key}, and not beside the backup.",
        )
    )


@app.command(help=tell("从备份恢复;先停止 Orderloom。", "Restore a backup; stop Orderloom first."))
def restore(
    source: Annotated[Path, typer.Argument(exists=True, file_okay=False, help=tell("备份目录", "the backup"))],
    replace: Annotated[bool, typer.Option("--replace", help=tell("替换已有数据", "replace the data there"))] = False,
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    config = prepare(state_dir, lang)
    from deployments.backup import restore as put_back
    from deployments.book_access import demand_stopped, order_book

    demand_stopped(config.state_dir)
    with order_book(config, make=True) as url:
        for restored in put_back(url, source, replace=replace):
            kept = tell(f",原数据保留为 {restored.kept_as}", f", the old one stays as {restored.kept_as}")
            told = tell(f"{restored.database}:恢复 {restored.rows} 行", f"{restored.database}: {restored.rows} rows")
            typer.echo(told + (kept if restored.kept_as else ""))


@catalogue.command(
    "load",
    help=tell(
        "载入商品和库存。列:sku,title,unit,weight_g,price_fen,made_to_order,on_hand,warehouse。有一行不对就什么都不载入。",
        "Load products and stock. Columns: sku,title,unit,weight_g,price_fen,made_to_order,on_hand,warehouse. One bad "
        "row and nothing is loaded.",
    ),
)
def load_catalogue(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help=tell("CSV 文件(UTF-8)", "a CSV file (UTF-8)"))
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help=tell("只显示会改变什么", "only show what changes"))
    ] = False,
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    config = prepare(state_dir, lang)
    from deployments.book_access import order_book
    from deployments.catalogue_file import load, read_catalogue
    from models.database import transact, utcnow

    rows = read_catalogue(file)
    with order_book(config):
        changes = transact(lambda session: load(session, rows, utcnow(), dry_run=dry_run))
    for line in changes.lines:
        typer.echo(line)
    typer.echo(changes.sentence(dry_run))


@staff.command(
    "add", help=tell("新建账号或重设密码,密码显示一次。", "Make an account or give a new password, shown once.")
)
def add_staff(
    name: Annotated[str, typer.Argument(help=tell("姓名", "name"))],
    role: Annotated[str, typer.Option(help=tell("角色", "role"))] = "customer_service",
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    config = prepare(state_dir, lang)
    from deployments.book_access import order_book
    from deployments.kept_secrets import new_password
    from integrations.portal.people import ROLE_WORDS
    from models.database import transact, utcnow
    from models.staff import set_password

    if role not in ROLE_WORDS:
        known = "、".join(f"{code}({word})" for code, word in ROLE_WORDS.items())
        raise typer.BadParameter(
            tell(f"没有角色 {role}。可选:{known}", f"no role {role}; one of {', '.join(ROLE_WORDS)}")
        )
    password = new_password()
    with order_book(config):
        transact(lambda session: set_password(session, name.strip(), role, password, utcnow()))
    typer.echo(tell(f"{name}({ROLE_WORDS[role]})的密码:{password}", f"password of {name} ({role}): {password}"))


@staff.command("disable", help=tell("停用账号,立即退出登录。", "Disable an account; it is signed out at once."))
def disable_staff(name: str, state_dir: StateDir = None, lang: Lang = None) -> None:
    config = prepare(state_dir, lang)
    from deployments.book_access import order_book
    from models.database import transact, utcnow
    from models.staff import disable

    with order_book(config):
        found = transact(lambda session: disable(session, name, utcnow()))
    if not found:
        typer.echo(
            tell(f"没有叫 {name} 的账号。`orderloom staff list` 看有哪些。", f"There is no account {name}."), err=True
        )
        raise typer.Exit(1)
    typer.echo(tell(f"{name} 已停用。", f"{name} is disabled."))


@staff.command("list", help=tell("有哪些账号。", "Which accounts there are."))
def list_staff(state_dir: StateDir = None, lang: Lang = None) -> None:
    config = prepare(state_dir, lang)
    from sqlmodel import select

    from deployments.book_access import order_book
    from models.database import transact
    from models.staff import Staff

    with order_book(config):
        people = transact(lambda session: list(session.exec(select(Staff).order_by(Staff.name))))
    for person in people:
        state = tell("已停用", "disabled") if person.disabled_at else tell("可用", "active")
        typer.echo(f"{person.name}\t{person.role}\t{state}")
    if not people:
        typer.echo(
            tell("还没有账号:`orderloom staff add 姓名 --role 角色`。", "No accounts yet: `orderloom staff add`.")
        )
