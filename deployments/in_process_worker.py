"""A Prefect worker that runs flows inside its own process.

The stock worker starts an interpreter for every run, which costs seconds of CPU and makes a person who
pressed Resume wait. This one imports a flow's module once and runs each flow run in a thread of its own,
with an event loop of its own, because Prefect's suspension observer blocks the loop it starts from.

What is different from the stock worker, on purpose:

- Pausing and aborting are exceptions that pass through the engine; both end the run's turn here with
  status 0, since any other status makes Prefect propose `Crashed`, even on a paused run.
- SIGTERM cannot cancel one run of many. A run that is `Cancelling` is looked for while runs are active, and
  its task is cancelled. A flow that is not `async def` cannot be interrupted; its run ends as it would have.
- Its process is written on each run as `host:pid:start`. A run whose process is gone is ended when the
  worker starts and at each heartbeat, so that a killed worker never keeps a slot of the pool.
- An API that cannot be reached makes the worker wait, never end.

Flow code is imported once: new code needs a new worker process.
"""

from __future__ import annotations

import asyncio
import contextvars
import importlib
import threading
import time
from typing import Any
from uuid import UUID

import anyio
import anyio.abc
import httpx
from prefect import Flow
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import Abort, Pause
from prefect.flow_engine import AsyncFlowRunEngine, run_flow
from prefect.utilities.callables import get_call_parameters, parameters_to_args_kwargs
from prefect.workers.base import BaseJobConfiguration, BaseVariables, BaseWorker, BaseWorkerResult
from pydantic import PrivateAttr

from deployments.dead_runs import PROCESS_MARK, end_dead_runs, runs_in_state

CANCELLATION_CHECK_SECONDS = 2.0
_IMPORTING = threading.Lock()  # two first runs of one module must not import it twice at once


class FlowNotLoadable(RuntimeError):
    """The deployment's entrypoint is not a flow this process can import."""


class InProcessConfiguration(BaseJobConfiguration):
    """Nothing to configure: environment, command and directory are the worker's own."""

    _entrypoint: str | None = PrivateAttr(default=None)

    def prepare_for_flow_run(self, flow_run: FlowRun, deployment: Any = None, *rest: Any, **named: Any) -> None:
        """Remember what to import; the environment of a process that is never started stays empty."""
        self._entrypoint = deployment.entrypoint if deployment else None
        self._related_objects = {
            "deployment": deployment,
            "flow": named.get("flow"),
            "flow-run": flow_run,
        }

    def load_flow(self) -> Flow[..., Any]:
        """The flow of `package.module.attribute`, imported once per process. Raises `FlowNotLoadable`."""
        module, _, attribute = (self._entrypoint or "").rpartition(".")
        if not module or ":" in attribute:
            raise FlowNotLoadable(
                f"entrypoint {self._entrypoint!r} is no import path such as 'flows.fulfil_order.fulfil_order'; "
                "deploy it again with 'orderloom deploy'"
            )
        with _IMPORTING:
            found = getattr(importlib.import_module(module), attribute, None)
        if not isinstance(found, Flow) or found.isgenerator:
            raise FlowNotLoadable(f"{module} has no flow {attribute!r} (generators are not run here)")
        return found


class InProcessResult(BaseWorkerResult):
    """`identifier` is the process mark; `status_code` 0 means the engine reported the run's state itself."""


class _CancellableEngine(AsyncFlowRunEngine[Any, Any]):
    """The async engine, except that a cancellation we asked for ends `Cancelled` and not `Crashed`."""

    cancel_requested = False

    async def handle_crash(self, exc: BaseException) -> None:
        if self.cancel_requested:
            await self.handle_cancellation(exc)
        else:
            await super().handle_crash(exc)


class InProcessRun:
    """One flow run in a thread of its own. Made and awaited in one event loop."""

    def __init__(self, flow: Flow[..., Any], flow_run: FlowRun) -> None:
        self.flow = flow
        self.flow_run = flow_run
        self.problem: BaseException | None = None
        self._engine: _CancellableEngine | None = None
        self._task: asyncio.Task[Any] | None = None
        self._ended = asyncio.Event()
        self._worker_loop = asyncio.get_running_loop()

    async def run(self) -> None:
        """Start the thread and wait until it ended; `problem` holds what the engine could not report."""
        context = contextvars.copy_context()  # the settings in force here hold there too
        threading.Thread(
            target=context.run, args=(self._in_thread,), name=f"run {self.flow_run.name}", daemon=True
        ).start()
        await self._ended.wait()

    def cancel(self, *, requested: bool) -> None:
        """Interrupt an async flow. `requested` by a person ends it Cancelled, otherwise it ends Crashed."""
        if self._engine and self._task:
            self._engine.cancel_requested = requested
            self._task.get_loop().call_soon_threadsafe(self._task.cancel)

    def _in_thread(self) -> None:
        try:
            if self.flow.isasync:
                asyncio.run(self._drive())
            else:
                run_flow(self.flow, flow_run=self.flow_run, return_type="state")
        except (Pause, Abort):
            pass  # the server knows the state already: suspended, or another process has the run
        except BaseException as problem:
            reported = self._engine.flow_run.state if self._engine and self._engine.flow_run else None
            if reported is None or not reported.is_final():
                self.problem = problem
        finally:
            try:
                self._worker_loop.call_soon_threadsafe(self._ended.set)
            except RuntimeError:
                pass  # the worker was closed before this thread ended

    async def _drive(self) -> None:
        self._task = asyncio.current_task()
        self._engine = engine = _CancellableEngine(
            flow=self.flow, flow_run=self.flow_run, parameters=self._parameters()
        )
        async with engine.start():
            while engine.is_running():
                async with engine.run_context():
                    await engine.call_flow_fn()  # type: ignore[unused-coroutine]  # annotated twice async

    def _parameters(self) -> dict[str, Any]:
        args, kwargs = parameters_to_args_kwargs(self.flow.fn, self.flow_run.parameters)
        return get_call_parameters(self.flow.fn, args, kwargs)


class InProcessWorker(BaseWorker[InProcessConfiguration, BaseVariables, InProcessResult]):
    """Serves a pool of type `orderloom`. Give it a stable `name`: it is what operators see."""

    type = "orderloom"
    job_configuration = InProcessConfiguration
    _description = "Runs flows inside the worker's process: no start-up per run."
    _display_name = "Orderloom"

    grace_seconds = 20.0  # how long runs may go on after the worker was told to stop

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._active: dict[UUID, InProcessRun] = {}
        self._next_cancellation_check = 0.0
        self._unreachable = False

    @property
    def active_runs(self) -> frozenset[UUID]:
        """The runs being worked on now."""
        return frozenset(self._active)

    @classmethod
    def get_default_base_job_template(cls) -> dict[str, Any]:
        """No variables: what a run needs comes from the worker's own environment."""
        # the server refuses an empty job_configuration
        return {"job_configuration": {"env": {}}, "variables": {"type": "object", "properties": {}}}

    async def run(
        self,
        flow_run: FlowRun,
        configuration: InProcessConfiguration,
        task_status: anyio.abc.TaskStatus[Any] | None = None,
    ) -> InProcessResult:
        """Run one flow run to its end, pause or cancellation; the engine reports its states."""
        flow = await anyio.to_thread.run_sync(configuration.load_flow)
        if task_status:
            task_status.started(PROCESS_MARK)
        self._active[flow_run.id] = active = InProcessRun(flow, flow_run)
        try:
            running = asyncio.ensure_future(active.run())
            try:
                await asyncio.shield(running)
            except asyncio.CancelledError:
                await self._abandon(active, running)
                raise
        finally:
            del self._active[flow_run.id]
        if active.problem:
            self.get_flow_run_logger(flow_run).error("The run ended without reporting a state", exc_info=active.problem)
        return InProcessResult(identifier=PROCESS_MARK, status_code=1 if active.problem else 0)

    async def _abandon(self, active: InProcessRun, running: asyncio.Future[None]) -> None:
        """The worker is stopping: let the run finish for a while, then crash it visibly."""
        with anyio.CancelScope(shield=True):
            await asyncio.wait([running], timeout=self.grace_seconds)
            if not running.done():
                active.cancel(requested=False)
                await asyncio.wait([running], timeout=5.0)

    async def get_and_submit_flow_runs(self) -> list[FlowRun]:
        """Poll once. While the API is away this finds nothing instead of wearing the loop's patience out."""
        try:
            submitted = await super().get_and_submit_flow_runs()
            await self._honour_cancellations()
        except httpx.HTTPError as problem:
            self._note_unreachable(problem)
            return []
        self._unreachable = False
        return submitted

    async def sync_with_backend(self) -> None:
        """Heartbeat; then end the runs a dead process left in this pool."""
        try:
            await super().sync_with_backend()
            await self._end_runs_of_the_dead()
        except httpx.HTTPError as problem:
            self._note_unreachable(problem)

    def _note_unreachable(self, problem: httpx.HTTPError) -> None:
        answer = getattr(problem, "response", None)
        if answer is not None and answer.status_code < 500:
            raise problem
        if not self._unreachable:
            self._logger.warning("The Prefect API cannot be reached (%s); trying on", type(problem).__name__)
        self._unreachable = True

    async def _honour_cancellations(self) -> None:
        if not self._active or time.monotonic() < self._next_cancellation_check:
            return
        self._next_cancellation_check = time.monotonic() + CANCELLATION_CHECK_SECONDS
        for found in await runs_in_state(self.client, [StateType.CANCELLING], ids=list(self._active)):
            if active := self._active.get(found.id):
                active.cancel(requested=True)

    async def _end_runs_of_the_dead(self) -> None:
        mine = self._submitting_flow_run_ids | self._active.keys()
        for ended in await end_dead_runs(self.client, self._work_pool_name, mine):
            self._logger.warning("Ended run %s, whose process is gone", ended.name)
