"""The runner by itself, with real launchers."""

from __future__ import annotations

import gc
import select
import weakref
from pathlib import Path

from air_executor.runners.base import AttemptKey, Launch, RunContext
from air_executor.runners.local import LocalRunner
from air_executor.store.layout import Base
from tests.support import wait_for


class Environment(dict[str, str]):
    """One that can be watched going."""


def test_nothing_is_kept_of_a_run_that_has_ended(tmp_path: Path) -> None:
    base = Base(tmp_path / "base")
    base.create()
    folder = base.job("job")
    folder.create()
    with select.epoll() as poller:
        runner = LocalRunner(base, poller, 1)
        runner.open()
        (launcher,) = runner._launchers.values()
        process = launcher.process
        assert process is not None
        try:
            environment = Environment(PATH="/usr/bin:/bin")
            watched = weakref.ref(environment)
            context = RunContext(folder, "run-1", "/", environment)
            key = AttemptKey("job", "run-1", "a", 1)
            launch = Launch(key, context, ["true"], cwd=None, env=None, timeout_s=None, grace_s=1.0)
            runner.start(runner.choose(), launch)
            runner.flush()
            ends = wait_for(lambda: runner.collect([fd for fd, _ in poller.poll(0.1)]), "its end")
            assert [(one, end.exit_code) for one, end in ends] == [(key, 0)]
            runner.forget_run(context)
            runner.flush()
            del context, environment, launch
            gc.collect()
            assert watched() is None
        finally:
            runner.close()
            process.wait(30)
