"""The command line on a real database: sentences, exit codes, and files that are loaded wholly or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from sqlmodel import Session

from deployments.stack_record import StackRecord
from models.database import utcnow
from models.fulfilment import Stage, WaitingOn
from models.reservation import reserve
from tests.deployments.command import Run, number
from tests.models.factories import a_fulfilment, an_order
from tests.prefect import free_port

HEADER = "sku,title,unit,weight_g,price_fen,made_to_order,on_hand,warehouse\n"


def catalogue(directory: Path, *rows: str) -> str:
    """A catalogue file with these rows."""
    file = directory / "catalogue.csv"
    file.write_text(HEADER + "".join(f"{row}\n" for row in rows), encoding="utf-8-sig")
    return str(file)


def test_help_is_there_at_once_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['orderloom', '--help']\n"
        "import deployments.cli\n"
        "try: deployments.cli.main()\n"
        "except SystemExit: pass\n"
        "heavy = ('prefect', 'sqlalchemy', 'httpx', 'pydantic')\n"
        "print([name for name in heavy if name in sys.modules], file=sys.stderr)"
    )

    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert said.stderr.strip() == "[]"
    for command in ("up", "down", "demo", "status", "check", "explain", "rerun", "channels", "quarantine", "backup"):
        assert f"\n  {command} " in said.stdout
    assert "退出码" in said.stdout


def test_help_speaks_english_too() -> None:
    command = [sys.executable, "-m", "deployments.cli", "--help"]
    english = {**os.environ, "ORDERLOOM_LANGUAGE": "en"}

    said = subprocess.run(command, env=english, capture_output=True, text=True, check=True)

    assert "Exit codes" in said.stdout


def test_check_names_the_rows_that_break_a_rule(orderloom: Run, session: Session) -> None:
    assert orderloom("check").returncode == 0
    order = an_order(session, utcnow(), "SH-7")
    a_fulfilment(session, order, utcnow(), waiting_on="a letter from the king")
    session.commit()

    said = orderloom("check")
    as_json = orderloom("check", "--json")

    assert said.returncode == 1
    assert "SH-7" in said.stdout or "fulfilment" in said.stdout
    assert as_json.returncode == 1
    assert any(one["severity"] == "error" for one in json.loads(as_json.stdout))


def test_explain_knows_an_order_by_our_number_and_by_the_channels(orderloom: Run, session: Session) -> None:
    order = an_order(session, utcnow(), "SH-8", channel_order_id="4711", channel_order_name="#1008")
    waits = {"stage": Stage.RESERVED.value, "waiting_on": WaitingOn.REVIEW.value, "waiting_why": "超过 500 元"}
    a_fulfilment(session, order, utcnow(), **waits)
    session.commit()

    for name in ("SH-8", "4711", "#1008"):
        said = orderloom("explain", name)
        assert said.returncode == 0
        assert "SH-8" in said.stdout and "要由人审核" in said.stdout and "超过 500 元" in said.stdout
    unknown = orderloom("explain", "SH-9")
    assert unknown.returncode == 1
    assert "Traceback" not in unknown.stderr


def test_rerun_says_when_prefect_is_away_and_when_there_is_no_such_order(
    orderloom: Run, session: Session, tmp_path: Path
) -> None:
    order = an_order(session, utcnow(), "SH-8")
    a_fulfilment(session, order, utcnow())
    session.commit()
    StackRecord("up", os.getpid(), 0.0, {"prefect": free_port()}).save(tmp_path)

    away = orderloom("rerun", "SH-8", "--reason", "试一次")
    unknown = orderloom("rerun", "SH-404", "--reason", "试一次")

    assert away.returncode == 1
    assert "orderloom up" in away.stderr and "Traceback" not in away.stderr
    assert unknown.returncode == 1
    assert "没有订单 SH-404" in unknown.stderr


def test_a_catalogue_is_loaded_and_loading_it_again_changes_nothing(
    orderloom: Run, session: Session, tmp_path: Path
) -> None:
    file = catalogue(
        tmp_path, "DOG-1,狗粮,piece,1500,8999,0,120,WH-1", "MADE-1,鲜食,piece,500,4990,1,,", "ING-X,鸭肉,g,,,,5000,WH-1"
    )

    trial = orderloom("catalogue", "load", file, "--dry-run")
    assert "新商品 3" in trial.stdout and "没有写入" in trial.stdout
    assert number(session, "SELECT count(*) FROM product") == 0

    loaded = orderloom("catalogue", "load", file)
    again = orderloom("catalogue", "load", file)

    assert loaded.returncode == again.returncode == 0
    assert "新商品 3,改动 0,库存调整 2" in loaded.stdout
    assert "新商品 0,改动 0,库存调整 0" in again.stdout
    assert number(session, "SELECT sum(on_hand) FROM stock_item") == 5120
    assert number(session, "SELECT sum(on_hand_change) FROM stock_movement") == 5120


def test_one_bad_row_and_nothing_of_a_catalogue_is_loaded(orderloom: Run, session: Session, tmp_path: Path) -> None:
    bad = [
        "DOG-1,狗粮,piece,1500,8999,0,120,WH-1",
        ",没有编号,piece,1,1,0,,",
        "DOG-2,单位不对,box,1,1,0,,",
        "DOG-3,数量不对,piece,1,1,0,-5,WH-1",
        "DOG-4,没有仓库,piece,1,1,0,5,",
        "DOG-1,重复,piece,1500,8999,0,120,WH-1",
    ]

    said = orderloom("catalogue", "load", catalogue(tmp_path, *bad))

    assert said.returncode == 1
    for line in ("第 3 行", "第 4 行", "第 5 行", "第 6 行", "第 7 行", "什么都没有载入"):
        assert line in said.stderr
    assert "第 2 行" not in said.stderr.replace("与第 2 行重复", "")
    assert number(session, "SELECT count(*) FROM product") == 0


def test_a_count_below_what_is_promised_is_refused_and_a_lower_one_is_taken(
    orderloom: Run, session: Session, tmp_path: Path
) -> None:
    assert orderloom("catalogue", "load", catalogue(tmp_path, "DOG-1,狗粮,piece,1,1,0,10,WH-1")).returncode == 0
    fulfilment = a_fulfilment(session, an_order(session, utcnow(), "SH-1"), utcnow(), warehouse="WH-1")
    assert fulfilment.id is not None
    reserve(session, fulfilment.id, "WH-1", {"DOG-1": 4}, "test", utcnow())
    session.commit()

    below = orderloom("catalogue", "load", catalogue(tmp_path, "DOG-1,狗粮,piece,1,1,0,3,WH-1"))
    enough = orderloom("catalogue", "load", catalogue(tmp_path, "DOG-1,狗粮,piece,1,1,0,4,WH-1"))

    assert below.returncode == 1 and "已预留" in below.stderr
    assert enough.returncode == 0, enough.stderr
    assert number(session, "SELECT on_hand FROM stock_item") == 4
    assert number(session, "SELECT sum(on_hand_change) FROM stock_movement") == 4


def test_staff_get_a_password_once_and_leavers_are_disabled(orderloom: Run, session: Session) -> None:
    added = orderloom("staff", "add", "王敏", "--role", "nutritionist")
    wrong = orderloom("staff", "add", "李强", "--role", "boss")
    gone = orderloom("staff", "disable", "王敏")
    nobody = orderloom("staff", "disable", "赵六")

    assert added.returncode == 0 and "密码" in added.stdout
    assert wrong.returncode == 2
    assert gone.returncode == 0
    assert nobody.returncode == 1
    assert "王敏\tnutritionist\t已停用" in orderloom("staff", "list").stdout
    assert number(session, "SELECT count(*) FROM staff") == 1


def test_a_backup_is_made_and_put_back(orderloom: Run, session: Session, tmp_path: Path) -> None:
    an_order(session, utcnow(), "SH-1")
    session.commit()

    made = orderloom("backup", str(tmp_path / "backups"))
    session.close()
    directory = next((tmp_path / "backups").iterdir())
    refused = orderloom("restore", str(directory))

    assert made.returncode == 0 and "secrets.json" in made.stdout
    assert refused.returncode == 1 and "--replace" in refused.stderr


def test_what_is_wrong_is_said_in_a_sentence_not_in_a_traceback(orderloom: Run, tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text('[lane]\nconcurrency = "many"\n')
    settings = orderloom("status")
    (tmp_path / "settings.toml").write_text("[lane\n")
    syntax = orderloom("status")
    (tmp_path / "settings.toml").unlink()
    nowhere = f"postgresql://orderloom:x@127.0.0.1:{free_port()}/orderloom"
    database = orderloom("check", ORDERLOOM_DATABASE_URL=nowhere)

    for said in (settings, syntax, database):
        assert said.returncode == 1
        assert "Traceback" not in said.stderr
    assert "lane.concurrency" in settings.stderr
    assert "settings.toml" in syntax.stderr
    assert "orderloom doctor" in database.stderr


def test_status_of_what_does_not_run_is_three_and_down_is_content(orderloom: Run) -> None:
    assert orderloom("status").returncode == 3
    assert orderloom("down").returncode == 0


def test_without_data_a_command_says_how_to_begin(orderloom: Run, tmp_path: Path) -> None:
    said = orderloom("check", ORDERLOOM_DATABASE_URL="", ORDERLOOM_STATE_DIR=str(tmp_path / "new"))

    assert said.returncode == 1
    assert "orderloom up" in said.stderr
