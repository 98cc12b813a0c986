"""The hooks of the run: the plan is answered ahead, and each test waits for its own answers."""

import gc
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import pytest

from pytest_llmbench.errors import LlmbenchError, UsageFault
from pytest_llmbench.models.embedders import shared_embedders
from pytest_llmbench.plugin.internals.capture import applications_captured, captured
from pytest_llmbench.plugin.internals.skipping import is_skipped
from pytest_llmbench.plugin.internals.xdist import is_controller, is_worker
from pytest_llmbench.plugin.nodes import ITEM, NOT_ASKED, RESULT
from pytest_llmbench.plugin.options import usage_error
from pytest_llmbench.plugin.session import LlmSession
from pytest_llmbench.report.safe_text import visible
from pytest_llmbench.runner.settings import Item
from pytest_llmbench.runner.slots import Progress
from pytest_llmbench.runner.staged import NotAsked

_MANY = 500
"""From so many items on it pays to look for what can be freed before they are kept: that takes 20 ms."""


class RunHooks:
    """Starts the plan, and gives each test its result."""

    def __init__(self, session: LlmSession):
        self._session = session
        self._sent: set[str] = set()
        self._has_only_cases = False
        self._width = 0  # of the terminal

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Begin the run in the store before workers start: a controller sees no tests, and ends the run for all."""
        if is_controller(session.config) and not session.config.option.collectonly:
            try:
                self._session.runner.builder.open_store(self._session.runner.all_specs)
            except UsageFault as fault:
                raise usage_error(fault) from None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Plan what survived selection and begin to answer it, ahead of the tests."""
        with applications_captured(session.config):
            return (yield from self._answered(session))

    def _answered(self, session: pytest.Session) -> Generator[None, object, object]:
        option = session.config.option
        has_errors = session.testsfailed and not option.continue_on_collection_errors
        if not (option.collectonly or has_errors or getattr(option, "setupplan", False)):
            items = [
                function.stash[ITEM]
                for function in session.items
                if ITEM in function.stash and not is_skipped(function)
            ]
            if items and self._session.refusal is None:
                # thousands of items, cases and prompts stay to the end: to look through all of them again and again
                # for what can be freed took a sixth of a run of recorded answers (`activate` undoes it)
                if len(items) >= _MANY:
                    gc.collect()
                gc.freeze()
                self._has_only_cases = len(items) == len(session.items)
                try:
                    self._start(items, is_dealt=is_worker(session.config))
                except LlmbenchError as fault:
                    self._session.refuse(str(fault))
            if self._session.channel is not None:
                self._session.channel.listen(session, self._deal)
        try:
            outcome = yield
            self._session.is_loop_over = True
            if not (session.shouldfail or session.shouldstop):
                with self._captured(_forget):
                    self._session.runner.finish(self._while_waiting)
            return outcome
        finally:
            self._session.progress_line.clear()
            self._session.runner.close()

    def pytest_unconfigure(self) -> None:
        """Close what is open.

        And spare pytest, which now looks twice for errors in what is freed, all the records: no test of the user ran.
        """
        self._session.progress_line.close()
        shared_embedders().close()
        if self._has_only_cases:
            gc.freeze()

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Let Ctrl-C end the run wherever it arrives.

        Python 3.11 has jumps without a line, one of them in the loop of pluggy's `_multicall`.  A traceback from there
        cannot be shown by pytest 9.2, whose TypeError would end the run as if all its tests had passed.
        """
        excinfo.traceback = excinfo.traceback.filter(_has_line)

    def _start(self, items: Sequence[Item], *, is_dealt: bool) -> None:
        early_stop = self._session.early_stop
        if early_stop is None:
            self._session.runner.start(items, is_dealt=is_dealt)
        else:
            early_stop.start(self._session.runner, items, is_dealt=is_dealt)

    def _deal(self, nodeids: Sequence[str], n_suspect: int) -> None:
        self._session.runner.deal(nodeids, n_suspect=n_suspect)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Wait for the answers of a case before its test begins: here progress can be shown and Ctrl-C gets through."""
        self._check_interrupt()
        ours = item.stash.get(ITEM, None)
        if ours is None or not self._session.runner.is_planned(ours.key):
            return (yield)
        with self._captured(partial(item.add_report_section, "setup")):
            result = self._session.runner.result(ours.key, self._while_waiting)
        self._session.progress_line.clear()
        self._send_facts(ours.spec.role)
        if isinstance(result, NotAsked):
            item.stash[NOT_ASKED] = True
            item.add_marker(pytest.mark.skip(reason=visible(result.reason)))  # so that -rs shows one line for a file
            return (yield)
        item.stash[RESULT] = result
        try:
            return (yield)
        finally:
            self._session.runner.release(ours.key)
            del item.stash[RESULT]

    def _send_facts(self, role: str) -> None:
        """Send the controller what a model is once it has answered: a worker that crashes later cannot."""
        if self._session.channel is not None and role not in self._sent:
            self._sent.add(role)
            self._session.channel.send_facts(self._session.runner.facts())

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """End the run where nothing can be asked."""
        if self._session.refusal is not None and ITEM in item.stash:
            item.session.shouldfail = self._session.refusal
            pytest.fail(self._session.refusal, pytrace=False)

    def _captured(self, keep: Callable[[str, str], None]) -> AbstractContextManager[None]:
        if self._session.progress_line.is_shown:
            # which nobody knows while pytest captures
            self._width = self._session.config.get_terminal_writer().fullwidth
        return captured(self._session.config, keep)

    def _while_waiting(self, progress: Progress) -> None:
        self._check_interrupt()
        if self._session.config.get_verbosity() >= 0:
            writer = self._session.config.get_terminal_writer()
            replicas = self._session.runner.builder.replicas(progress.role)
            self._session.progress_line.show(progress, self._width, writer.width_of_current_line, replicas)

    def _check_interrupt(self) -> None:
        """End a worker as Ctrl-C would that reached only the controller."""
        if self._session.channel is not None and self._session.channel.is_interrupted:
            raise KeyboardInterrupt


def _forget(stream: str, text: str) -> None:
    """Let go of what a model printed after the last test: no report is left that could hold it."""


def _has_line(entry: Any) -> bool:
    try:
        return bool(entry.lineno >= 0)
    except TypeError:
        return False
