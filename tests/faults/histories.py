"""Journals and spools to damage: of runs driven by decisions alone, without a manager."""

from __future__ import annotations

import random

from air_executor import events as ev
from air_executor.lifecycle import AttemptEnd, Run
from air_executor.model import Usage
from air_executor.runners.base import AttemptKey
from tests.unit.world import T0, created, half, spec


def journal_events(name: str = "job", tasks: int = 40, seed: int = 0) -> list[ev.Event]:
    """The events of a run with retries, failures, skipped, cancelled and running tasks; it has not ended."""
    chance = random.Random(seed)
    run = Run()
    now = T0
    run.create(created(name, max_failures=1_000))
    run.queue([spec(f"t{n}", retries=n % 3, retry_delay_s=0.1, idempotent=n % 5 == 0) for n in range(tasks)], now)
    run.queue([spec("d1", "t1", "unknown"), spec("d2", "d1"), spec("ünïcode-✓", final=True)], now, "t0")
    run.warn("something “odd”", now)
    for _ in range(tasks * 2):
        now += 1.0
        task = run.peek(now)
        if task is not None:
            run.take(task)
            run.start(task, "launcher-1", now)
        running = list(run.running_tasks())
        if len(running) > 4:
            ended = chance.choice(running)
            reason = chance.choice([None, None, "exit", "signal", "lost", "timeout"])
            end = AttemptEnd(now, 0 if reason is None else 3, None, reason, reason and f"it was {reason}", 0.5)
            end.usage, end.result = Usage(0.1, 12.5), {"lines": [1, 2, {"ä": None}]}
            run.exited(ended.spec.id, ended.attempt, end, now, half)
    run.cancel(now, "d2")
    run.pause(now)
    run.emit(ev.RequestDone(at=run.updated_at, request="00000000000000000001-abc"))
    run.resume(now)
    run.check_invariants()
    return run.new_events


def spool_text(name: str = "job", attempts: int = 60) -> bytes:
    """What a launcher wrote that took attempts by eight, and of which the last have not ended."""
    lines = []
    for token in range(1, attempts + 1):
        if token % 8 == 1:
            lines += [f'["a",{t},["{name}","r1","t{t}",1]]' for t in range(token, min(token + 8, attempts + 1))]
        if token <= attempts - 3:
            lines.append(f'["s",{token},{4_000_000 + token},{100_000 + token},"@slot-launcher-1-{token}"]')
        if token % 3 and token <= attempts - 6:
            lines.append(f'["x",{token},0,null,null,null,0.001234,0.000800,13.836,1759390200.250000]')
        elif token <= attempts - 6:
            lines.append(
                f'["x",{token},{token % 100},null,"exit","exit code {token % 100}",0.1,0.02,13.8,1759390200.5]'
            )
    return "\n".join(lines).encode() + b"\n"


def keys(name: str = "job", attempts: int = 60) -> set[AttemptKey]:
    return {AttemptKey(name, "r1", f"t{token}", 1) for token in range(1, attempts + 1)}
