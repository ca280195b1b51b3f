"""The Prefect server as we start it: who may talk to it, and what it keeps where."""

from __future__ import annotations

import os
import time
from contextlib import closing
from pathlib import Path

import httpx
import prefect.settings
import psycopg2
import pytest
from prefect.blocks.system import Secret

from deployments.prefect_server import (
    PrefectServer,
    PrefectServerNotReady,
    client_environment,
    new_auth_string,
    new_encryption_key,
    server_environment,
    wait_until_healthy,
)
from tests.prefect import RunningServer, free_port

FOREIGN = "https://shop.example"


def some_server(state_dir: Path) -> PrefectServer:
    return PrefectServer(
        port=free_port(),
        database_url="postgresql+asyncpg://nobody@127.0.0.1/none",
        state_dir=state_dir,
        auth_string=new_auth_string(),
        encryption_key=new_encryption_key(),
    )


def test_the_api_answers_401_without_the_right_password(prefect_server: RunningServer) -> None:
    url = f"{prefect_server.settings.api_url}/flows/filter"
    nobody = httpx.post(url, json={}, trust_env=False)
    stranger = httpx.post(url, json={}, auth=("orderloom", "guess"), trust_env=False)
    with prefect_server.http() as known:
        operator = known.post("flows/filter", json={})
    assert (nobody.status_code, stranger.status_code, operator.status_code) == (401, 401, 200)


@pytest.mark.parametrize("method", ["OPTIONS", "POST"])
def test_a_page_of_another_origin_gets_no_access(prefect_server: RunningServer, method: str) -> None:
    headers = {"Origin": FOREIGN, "Access-Control-Request-Method": "POST"}
    with prefect_server.http() as browser:
        answer = browser.request(method, "flows/filter", headers=headers)
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_the_ui_of_this_server_may_call_the_api_under_both_names(prefect_server: RunningServer, name: str) -> None:
    origin = f"http://{name}:{prefect_server.settings.port}"
    with prefect_server.http() as browser:
        answer = browser.post("flows/filter", json={}, headers={"Origin": origin})
    assert answer.headers["access-control-allow-origin"] == origin


def test_the_ui_is_served_and_calls_this_api(prefect_server: RunningServer) -> None:
    settings = httpx.get(f"{prefect_server.settings.url}/ui-settings", trust_env=False).json()
    page = httpx.get(prefect_server.settings.url, trust_env=False, follow_redirects=True)
    assert settings["api_url"] == prefect_server.settings.api_url
    assert settings["auth"] == "BASIC"
    assert page.status_code == 200 and "<html" in page.text


async def test_the_key_of_block_secrets_is_not_kept_beside_them(prefect_server: RunningServer) -> None:
    await Secret(value="whsec_1").save("sample-secret", overwrite=True)
    assert (await Secret.load("sample-secret")).get() == "whsec_1"
    address = prefect_server.settings.database_url.replace("+asyncpg", "")
    with closing(psycopg2.connect(address)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM configuration WHERE key = 'ENCRYPTION_KEY'")
        assert cursor.fetchone() == (0,)
        cursor.execute("SELECT count(*) FROM block_document WHERE data::text LIKE '%whsec_1%'")
        assert cursor.fetchone() == (0,)


def test_no_prefect_setting_of_the_caller_leaks_in(tmp_path: Path) -> None:
    server = some_server(tmp_path)
    caller = {"PATH": os.environ["PATH"], "PREFECT_PROFILE": "cloud", "PREFECT_API_KEY": "pnu_x"}
    for environment in (server_environment(server, caller), client_environment(server, caller)):
        assert not {"PREFECT_PROFILE", "PREFECT_API_KEY"} & environment.keys()
        assert environment["PREFECT_HOME"].startswith(str(tmp_path))
        assert environment["PREFECT_PROFILES_PATH"].startswith(str(tmp_path))
    assert server.encryption_key not in client_environment(server, caller).values()


def test_every_setting_has_a_name_prefect_knows(tmp_path: Path) -> None:
    server = some_server(tmp_path)
    given = {name for name in server_environment(server, {}) | client_environment(server, {}) if "PREFECT" in name}
    unknown = {name for name in given if not hasattr(prefect.settings, name)}
    # these two are read from the environment itself
    assert unknown == {"PREFECT_SERVER_ENCRYPTION_KEY", "PREFECT__SERVER_FINAL"}


def test_waiting_for_a_server_that_died_ends_at_once_and_says_where_to_look() -> None:
    started = time.monotonic()
    with pytest.raises(PrefectServerNotReady, match="Look at its log"):
        wait_until_healthy(f"http://127.0.0.1:{free_port()}/api", 30, alive=lambda: False)
    assert time.monotonic() - started < 5
