"""All metrics to an OpenTelemetry collector: OTLP over HTTP, in its JSON encoding, cumulative."""

from __future__ import annotations

import json
import os
import socket
import time
from threading import Event
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from air_executor import __version__
from air_executor.observe.metrics import BUCKETS_S, Family, Metrics, Sample
from air_executor.observe.sinks.health import Health
from air_executor.observe.sinks.posting import check_url, post

__all__ = ["Otlp", "metric_name", "payload"]

CUMULATIVE: Final = 2


def metric_name(name: str) -> str:
    """Names as OpenTelemetry has them: with a dot, and the unit apart. Prometheus puts them together again."""
    return name.replace("air_executor_", "air_executor.", 1).removesuffix("_total").removesuffix("_seconds")


def payload(families: list[Family], began: float, now: float, resource: dict[str, str]) -> dict[str, Any]:
    """An `ExportMetricsServiceRequest`. 64-bit integers are strings, as the encoding wants it."""
    times = {"startTimeUnixNano": str(int(began * 1e9)), "timeUnixNano": str(int(now * 1e9))}
    return {
        "resourceMetrics": [
            {
                "resource": {"attributes": _attributes(resource.items())},
                "scopeMetrics": [
                    {
                        "scope": {"name": "air_executor", "version": __version__},
                        "metrics": [_metric(family, times) for family in families],
                    }
                ],
            }
        ]
    }


def _attributes(pairs: Any) -> list[dict[str, Any]]:
    return [{"key": key, "value": {"stringValue": value}} for key, value in pairs]


def _metric(family: Family, times: dict[str, str]) -> dict[str, Any]:
    points = [_point(sample, times) for sample in family.samples]
    data: dict[str, Any] = {"dataPoints": points}
    if family.kind == "histogram":
        data["aggregationTemporality"] = CUMULATIVE
    elif family.kind == "counter":
        data |= {"aggregationTemporality": CUMULATIVE, "isMonotonic": True}
    unit = {"unit": "s"} if family.name.endswith("_seconds") else {}
    kind = "sum" if family.kind == "counter" else family.kind
    return {"name": metric_name(family.name), "description": family.help, **unit, kind: data}


def _point(sample: Sample, times: dict[str, str]) -> dict[str, Any]:
    point: dict[str, Any] = {"attributes": _attributes(sample.labels), **times}
    if isinstance(sample.value, tuple):
        buckets, total = sample.value
        return {
            **point,
            "count": str(sum(buckets)),
            "sum": total,
            "bucketCounts": [str(count) for count in buckets],
            "explicitBounds": list(BUCKETS_S),
        }
    value = sample.value
    return {**point, **({"asInt": str(int(value))} if value == int(value) else {"asDouble": value})}


class Otlp:
    """Pushes all metrics every `interval_s`. What one push loses the next one holds, since all are cumulative."""

    def __init__(self, url: str, base: str, metrics: Metrics, health: Health, interval_s: float) -> None:
        check_url(url, "otlp")
        self._url = url if urlsplit(url).path not in ("", "/") else url.rstrip("/") + "/v1/metrics"
        self._metrics = metrics
        self._health = health
        self._interval_s = interval_s
        self._began = time.time()
        self._resource = {
            "service.name": os.environ.get("OTEL_SERVICE_NAME", "air-executor"),
            "service.version": __version__,
            "service.instance.id": base,
            "host.name": socket.gethostname(),
        }
        self._headers = _headers(os.environ.get("OTEL_EXPORTER_OTLP_HEADERS", ""))

    def run(self, stop: Event) -> None:
        """Push until told to stop, and once more then."""
        while True:
            last = stop.wait(self._interval_s)
            self.push()
            if last:
                return

    def push(self) -> None:
        now = time.time()
        families = self._metrics.families(now)
        body = json.dumps(payload(families, self._began, now, self._resource), separators=(",", ":")).encode()
        wrong = post(self._url, body, self._headers, timeout_s=min(10.0, max(1.0, self._interval_s)))
        if wrong is None:
            self._health.took()
        else:
            self._health.failed(wrong)


def _headers(text: str) -> dict[str, str]:
    """`name=value,name=value`, percent-encoded, as OpenTelemetry's own variable has it."""
    pairs = (part.partition("=") for part in text.split(",") if "=" in part)
    return {name.strip(): unquote(value.strip()) for name, _, value in pairs}
