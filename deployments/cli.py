"""`orderloom …`: the command line for shop owners and operators.

Every foreseeable problem ends in a sentence and what to do, never in a traceback. What a command needs is imported
when it runs, so that `--help` is there at once.
"""

from __future__ import annotations

import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

import typer

from deployments.language import explain_error, tell

EXIT_CODES = tell(
    "退出码:0 正常;1 发现问题或没有做成(屏幕上写明原因和该怎么办);2 命令写错了;3 没有在运行。",
    "Exit codes: 0 fine; 1 something is wrong or was not done (the screen says why and what to do); 2 the command "
    "was written wrongly; 3 not running.",
)

SHAPE: dict[str, Any] = {
    "name": "orderloom",
    "no_args_is_help": True,
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "rich_markup_mode": None,
    "context_settings": {"help_option_names": ["-h", "--help"]},
    "help": tell("多渠道订单中枢。第一次用:orderloom demo。", "The order hub. To begin: orderloom demo.")
    + f"\n\n{EXIT_CODES}",
}

app = typer.Typer()

StateDir = Annotated[
    Path | None,
    typer.Option("--state-dir", help=tell("数据、日志和密钥所在的目录", "where data, logs and secrets live")),
]
Who = Annotated[
    str | None, typer.Option("--who", help=tell("你的姓名(默认系统用户名)", "your name (default: the system's)"))
]
Shadow = Annotated[
    bool,
    typer.Option(
        "--shadow",
        help=tell(
            "影子模式:读真实渠道,不向外发送任何东西,数据另放", "shadow mode: read, send nothing, data of its own"
        ),
    ),
]
Lang = Annotated[str | None, typer.Option("--lang", help=tell("界面语言:zh 或 en", "language: zh or en"))]


def prepare(state_dir: Path | None = None, lang: str | None = None, shadow: bool = False) -> Any:
    """The settings for this command (`models.settings.Settings`); the options win. In shadow those of the shadow."""
    import os

    if shadow:
        os.environ["ORDERLOOM_SHADOW"] = "true"

    if state_dir is not None:
        os.environ["ORDERLOOM_STATE_DIR"] = str(state_dir.expanduser().absolute())
    if lang is not None:
        if lang not in ("zh", "en"):
            raise typer.BadParameter(tell("只有 zh 和 en", "zh or en"))
        os.environ["ORDERLOOM_LANGUAGE"] = lang
    for name in ("DATABASE_URL", "ORDERLOOM_DATABASE_URL"):
        if not os.environ.get(name, "unset").strip():
            del os.environ[name]  # exported empty means: none
    from models.settings import settings, settings_file

    settings.cache_clear()
    try:
        config = settings()
    except ValueError as error:  # pydantic's and the TOML reader's errors are both
        raise SettingsWrong(settings_file(), error) from error
    os.environ["ORDERLOOM_LANGUAGE"] = config.language
    if config.shadow:
        from deployments.shadow_place import move_into_shadow

        config = move_into_shadow(config)
    return config


def who_am_i(who: str | None) -> str:
    """The name that changes are written under: as given, else the name of the system's user. At most 64 letters."""
    import getpass

    if who is not None and not who.strip():
        raise typer.BadParameter(tell("--who 不能是空的", "--who must not be empty"))
    return (who or getpass.getuser()).strip()[:64]


class SettingsWrong(Exception):
    """The settings file or an `ORDERLOOM_…` variable cannot be read."""

    def __init__(self, file: Path, error: ValueError) -> None:
        kinds: list[Any] = getattr(error, "errors", list)()
        places = "\n".join(f"  {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in kinds) or f"  {error}"
        super().__init__(f"设置有误,请改正 {file} 或对应的 ORDERLOOM_ 环境变量:\n{places}")
        self.english = f"The settings are wrong; correct {file} or the ORDERLOOM_ variable:\n{places}"


@app.command(help=tell("启动全部服务(在后台);已停止的从上次的地方继续。", "Start everything, in the background."))
def up(
    foreground: Annotated[
        bool, typer.Option(help=tell("留在前台,Ctrl-C 停止(容器、systemd 用)", "stay in the foreground"))
    ] = False,
    shadow: Shadow = False,
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    from deployments.starting import start_in_background, start_in_foreground

    config = prepare(state_dir, lang, shadow)
    raise typer.Exit(start_in_foreground(config) if foreground else start_in_background(config))


@app.command(help=tell("停止全部服务,数据保留。", "Stop everything; the data stay."))
def down(shadow: Shadow = False, state_dir: StateDir = None, lang: Lang = None) -> None:
    from deployments.starting import stop_everything

    raise typer.Exit(stop_everything(prepare(state_dir, lang, shadow)))


@app.command(
    help=tell(
        "演示:在沙箱平台上重放真实订单,从下单到发货,Ctrl-C 停止,数据保留。",
        "Demo: real orders on sandbox platforms, from the basket to the parcel; Ctrl-C stops, the data stay.",
    )
)
def demo(
    orders: Annotated[int, typer.Option(min=1, max=100_000, help=tell("下多少单", "how many orders"))] = 120,
    seconds: Annotated[
        float | None, typer.Option(min=0, help=tell("顾客在多少秒内下完(默认每单半秒)", "over how many seconds"))
    ] = None,
    exit: Annotated[bool, typer.Option("--exit", help=tell("做完自己停止", "end when all is done"))] = False,
    summary: Annotated[Path | None, typer.Option(help=tell("把结果写成 JSON 文件", "write a JSON summary"))] = None,
    leave_reviews: Annotated[int, typer.Option(min=0, help=tell("留几个审核给你自己决定", "reviews left for you"))] = 3,
    trickle: Annotated[
        bool, typer.Option(help=tell("做完后每 20 秒再来一单", "one more order every 20 s afterwards"))
    ] = True,
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    config = prepare(state_dir, lang)
    if config.shadow:
        raise typer.BadParameter(tell("演示不连真实渠道,不需要影子模式", "a demo needs no shadow mode"))
    from rich.console import Console

    from deployments.demo import DemoOptions, run_demo

    options = DemoOptions(
        orders=orders,
        seconds=orders / 2 if seconds is None else seconds,
        leave_reviews=leave_reviews,
        exit=exit,
        summary=summary,
        trickle=trickle and not exit,
    )
    raise typer.Exit(run_demo(config.state_dir, config, options, Console()))


@app.command(
    help=tell("各个服务和订单现在怎么样。没有在运行时退出码为 3。", "How services and orders are; 3 if not running.")
)
def status(shadow: Shadow = False, state_dir: StateDir = None, lang: Lang = None) -> None:
    from deployments.showing import show_status

    raise typer.Exit(show_status(prepare(state_dir, lang, shadow)))


@app.command(help=tell("检查这台机器和设置哪里不对、该怎么办。", "What is wrong with this machine or the settings."))
def doctor(shadow: Shadow = False, state_dir: StateDir = None, lang: Lang = None) -> None:
    from deployments.showing import show_diagnosis

    raise typer.Exit(show_diagnosis(prepare(state_dir, lang, shadow)))


@app.command(
    help=tell("看一个服务的日志(不给名字就列出有哪些)。", "The log of a service; without a name: which there are.")
)
def logs(
    name: Annotated[str | None, typer.Argument(help=tell("服务名,如 lane", "a service, such as lane"))] = None,
    lines: Annotated[int, typer.Option(min=1, help=tell("最后多少行", "how many lines"))] = 40,
    shadow: Shadow = False,
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    from deployments.showing import show_log

    raise typer.Exit(show_log(prepare(state_dir, lang, shadow), name, lines))


@app.command(
    help=tell("删除这里的全部数据(先询问);设置文件保留。", "Delete all data here (asks first); settings stay.")
)
def reset(
    yes: Annotated[bool, typer.Option("--yes", help=tell("不询问", "do not ask"))] = False,
    shadow: Shadow = False,
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    from deployments.resetting import delete_everything, what_is_there

    config = prepare(state_dir, lang, shadow)
    typer.echo(what_is_there(config))
    if not yes:
        typer.confirm(tell("确定删除?删除后无法找回", "Delete it? It cannot be brought back"), abort=True)
    raise typer.Exit(delete_everything(config))


def for_every_command(shadow: Shadow = False) -> None:
    """What may stand before any command: `orderloom --shadow explain SH-1001`."""
    import os

    if shadow:
        os.environ["ORDERLOOM_SHADOW"] = "true"


def main() -> None:
    """The entry point: typed problems become a sentence on standard error and exit code 1."""
    from deployments import (
        cli_channels,
        cli_check,
        cli_coupon,
        cli_data,
        cli_import,
        cli_orders,
        cli_rules,
        cli_shadow,
        cli_stock,
    )

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without Chinese must not stop us
    whole = typer.Typer(**SHAPE)
    whole.callback()(for_every_command)
    parts = (cli_check, cli_orders, cli_channels, cli_import, cli_stock, cli_rules, cli_coupon, cli_data, cli_shadow)
    for part in (app, *(one.app for one in parts)):
        whole.add_typer(part)
    try:
        whole()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        said = _sentence(error)
        if said is None:
            raise
        typer.echo(said, err=True)
        sys.exit(1)


def _sentence(error: Exception) -> str | None:
    """What to tell of a foreseeable error, None for others. Known by name: nothing is imported for it."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if hasattr(error, "english") or kinds & SAY_IT_THEMSELVES:
        return explain_error(error)
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if "ProgrammingError" in kinds:
        todo = tell("数据库结构不是最新:先 `orderloom up`。", "The database's schema is old: run `orderloom up` first.")
        return f"{todo} ({first})"
    if kinds & {"OperationalError", "ArgumentError", "OSError"}:
        todo = tell("请运行 `orderloom doctor` 看哪里不对。", "Run `orderloom doctor` to see what is wrong.")
        return f"{first}\n{todo}"
    return None


#: Errors whose words are for the reader in both languages.
SAY_IT_THEMSELVES = frozenset(
    {
        "CatalogueWrong",
        "CompanyBusy",
        "CountBusy",
        "DatabaseMissing",
        "LedgerBroken",
        "MergeRefused",
        "NotThere",
        "OrderUnknown",
        "PrivacyKeyMissing",
        "RulesRefused",
        "SheetRefused",
        "SheetWrong",
        "TryoutFailed",
        "SplitRefused",
        "StockRefused",
    }
)


if __name__ == "__main__":
    main()
