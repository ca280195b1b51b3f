"""The few calls to the Prefect API that the command line makes: plain HTTP, because importing Prefect takes seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from deployments.kept_secrets import KeptSecrets
from deployments.language import tell
from deployments.stack_record import StackRecord
from models.settings import Settings

FINAL = frozenset({"COMPLETED", "FAILED", "CRASHED", "CANCELLED"})


class PrefectAway(Exception):
    """The Prefect server cannot be reached, or does not do what it is asked."""

    def __init__(self, url: str, said: str) -> None:
        super().__init__(
            f"连不上 Prefect 服务({url}:{said})。请先 `orderloom status` 看它是否在运行;没有就 `orderloom up`。"
        )
        self.english = (
            f"The Prefect server cannot be reached ({url}: {said}). See `orderloom status`; start it with "
            f"`orderloom up`."
        )


@dataclass(frozen=True)
class Run:
    """A flow run as the server has it. `state` is its type (`COMPLETED` …), `state_name` what operators read."""

    id: str
    name: str
    state: str
    state_name: str
    message: str
    created: str

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.state in FINAL


class PrefectCalls:
    """A client of one server. Close it."""

    def __init__(self, url: str, auth_string: str) -> None:
        user, _, password = auth_string.partition(":")
        self.url = url
        self._client = httpx.Client(base_url=f"{url}/api", auth=(user, password), timeout=20.0, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def start_run(self, deployment: str, parameters: Mapping[str, Any] | None = None) -> Run:
        """Have a deployment (`flow/name`) run now. Raises `PrefectAway`."""
        flow, _, name = deployment.partition("/")
        found = self._call("GET", f"/deployments/name/{flow}/{name}")
        return _run(self._call("POST", f"/deployments/{found['id']}/create_flow_run", {"parameters": parameters or {}}))

    def read_run(self, run_id: str) -> Run:
        """The run as it is now."""
        return _run(self._call("GET", f"/flow_runs/{run_id}"))

    def wait_for(self, run: Run, seconds: float) -> Run:
        """The run once it has ended, or as it is after so many seconds."""
        deadline = time.monotonic() + seconds
        while not run.ended and time.monotonic() < deadline:
            time.sleep(0.5)
            run = self.read_run(run.id)
        return run

    def progress_of(self, run_id: str) -> float | None:
        """How far a run says that it is, in percent, by its progress artifact; None before it says so."""
        wanted = {"flow_run_id": {"any_": [run_id]}, "type": {"any_": ["progress"]}}
        found = self._call("POST", "/artifacts/filter", {"artifacts": wanted, "limit": 1})
        return float(found[0]["data"]) if found else None

    def suspended_runs(self, tag: str) -> list[Run]:
        """The suspended runs that carry this tag, oldest first (at most 200)."""
        wanted = {"tags": {"all_": [tag]}, "state": {"type": {"any_": ["PAUSED"]}}}
        found = self._call("POST", "/flow_runs/filter", {"flow_runs": wanted, "limit": 200})
        return sorted(map(_run, found), key=lambda run: run.created)

    def resume(self, run_id: str, answer: Mapping[str, Any]) -> bool:
        """Fill in the form of a suspended run; False when somebody was quicker or the answer is refused."""
        return bool(self._call("POST", f"/flow_runs/{run_id}/resume", {"run_input": answer})["status"] == "ACCEPT")

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        try:
            answer = self._client.request(method, path, json=body)
            answer.raise_for_status()
            return answer.json()
        except httpx.HTTPStatusError as error:
            raise PrefectAway(self.url, f"HTTP {error.response.status_code} {error.response.text[:200]}") from error
        except (httpx.TransportError, ValueError) as error:
            raise PrefectAway(self.url, type(error).__name__) from error


@contextmanager
def calls_of(config: Settings) -> Iterator[PrefectCalls]:
    """The Prefect server of the stack of these settings. Raises `PrefectAway` when it was never started."""
    record, secrets = StackRecord.load(config.state_dir), KeptSecrets.load(config.state_dir)
    if record is None or secrets is None:
        raise PrefectAway(f"http://127.0.0.1:{config.ports.prefect}", tell("从未启动", "never started"))
    calls = PrefectCalls(f"http://127.0.0.1:{record.ports['prefect']}", secrets.prefect_auth)
    try:
        yield calls
    finally:
        calls.close()


def _run(raw: Mapping[str, Any]) -> Run:
    state = raw.get("state") or {}
    return Run(
        id=raw["id"],
        name=raw["name"],
        state=state.get("type", ""),
        state_name=state.get("name", ""),
        message=state.get("message") or "",
        created=raw["created"],
    )
