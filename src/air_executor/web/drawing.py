"""Drawing a chart in a process of its own: it takes much memory and time, which are given back with it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from importlib.util import find_spec
from typing import Any, Final, Literal

import msgspec

from air_executor.errors import BaseUnusable

__all__ = ["can_draw", "draw"]

PATIENCE_S: Final = 60.0


def can_draw() -> bool:
    """Whether the packages for it are installed."""
    return find_spec("matplotlib") is not None


class _Order(msgspec.Struct):
    series: dict[str, list[float]]
    spans: list[list[Any]]
    title: str
    format: Literal["png", "svg"]


async def draw(series: dict[str, list[float]], spans: list[Any], title: str, kind: Literal["png", "svg"]) -> bytes:
    """The picture as a file."""
    order = msgspec.json.encode(_Order(series, spans, title, kind))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", __name__),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        data, said = await asyncio.wait_for(process.communicate(order), PATIENCE_S)
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode != 0:
        lines = said.decode(errors="replace").strip().splitlines()
        raise BaseUnusable(f"the chart could not be drawn: {lines[-1] if lines else process.returncode}")
    return data


def main() -> None:
    from air_executor.observe.chart import render

    order = msgspec.json.decode(sys.stdin.buffer.read(), type=_Order)
    sys.stdout.buffer.write(render(order.series, order.spans, title=order.title, format=order.format))


if __name__ == "__main__":
    main()
