"""What the exporters of the pods show at a scrape: the metrics of the generic preset, and those of vLLM."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from live.transport import Answer
from live.twin.load import BOUNDS_S, Counters, Queue, Server, Tally
from live.twin.request import Request
from live.twin.series import SeriesStore, written

Style = Literal["generic", "vllm"]
Name = tuple[str, Mapping[str, str]]
"""Metric and labels."""


@dataclass(frozen=True, slots=True)
class Exporter:
    """A `Service` that a real Prometheus can scrape."""

    text: Callable[[], str]

    def verb(self, request: Request) -> str:
        return request.method.lower()

    def answer(self, request: Request) -> Answer:
        del request
        return Answer(200, self.text(), {"content-type": "text/plain; version=0.0.4"})

    def watch(self, request: Request) -> Answer:
        return self.answer(request)


def scrape(store: SeriesStore, queue: Queue, styles: Sequence[Style], time_s: float) -> None:
    """Store what all pods of a queue show."""
    queued = _queued(queue)
    for i, server in enumerate(queue.servers.values()):
        if not server.series:
            server.series = [store.samples(*name) for name in _names(queue, server, styles)]
        for samples, value in zip(server.series, _values(queue, server, queued[i], styles), strict=True):
            samples.append((time_s, value))


def exposition(queue: Queue, styles: Sequence[Style]) -> str:
    """The text that a Prometheus scrapes."""
    lines, queued = [], _queued(queue)
    for i, server in enumerate(queue.servers.values()):
        values = _values(queue, server, queued[i], styles)
        for (metric, labels), value in zip(_names(queue, server, styles), values, strict=True):
            inside = ",".join(f'{name}="{text}"' for name, text in labels.items())
            lines.append(f"{metric}{{{inside}}} {written(value)}\n")
    return "".join(lines)


def _queued(queue: Queue) -> list[list[int]]:
    """By pod and class: all share the queue, so each shows its part of it."""
    pods, waiting = len(queue.servers), [queue.queued(i) for i in range(len(queue.workload.classes))]
    return [[(number + pods - 1 - i) // pods for number in waiting] for i in range(pods)]


def _names(queue: Queue, server: Server, styles: Sequence[Style]) -> Iterator[Name]:
    """What a pod shows, in the order of `_values`."""
    own = {"namespace": queue.workload.namespace, "pod": server.name, **queue.workload.labels}
    for one in queue.workload.classes:
        labels = {**own, **one.labels}
        for style in styles:
            yield from _generic_names(labels) if style == "generic" else _vllm_names({"model_name": "model", **labels})


def _values(queue: Queue, server: Server, queued: Sequence[int], styles: Sequence[Style]) -> Iterator[float]:
    server.pass_to(queue.now_s)
    for counters, waiting in zip(server.counters, queued, strict=True):
        for style in styles:
            yield from (_generic if style == "generic" else _vllm)(counters, waiting)


def _generic_names(labels: Mapping[str, str]) -> Iterator[Name]:
    gauges = ("queued", "in_service")
    counters = ("arrived", "started", "completed", "failed", "rejected", "abandoned", "busy_seconds")
    yield from ((f"requests_{name}", labels) for name in gauges)
    yield from ((f"requests_{name}_total", labels) for name in counters)
    for name in ("wait", "service", "response"):
        yield from _histogram_names(f"requests_{name}_seconds", labels)


def _generic(seen: Counters, queued: float) -> Iterator[float]:
    yield from (queued, seen.in_service, seen.arrived, seen.started, seen.completed, seen.failed, seen.rejected)
    yield from (seen.abandoned, seen.busy_s)
    for tally in (seen.wait, seen.service, seen.response):
        yield from _histogram(tally)


def _vllm_names(labels: Mapping[str, str]) -> Iterator[Name]:
    yield "vllm:num_requests_waiting", labels
    yield "vllm:num_requests_running", labels
    yield "vllm:request_success_total", {**labels, "finished_reason": "stop"}
    for name in ("request_queue_time_seconds", "request_inference_time_seconds", "e2e_request_latency_seconds"):
        yield from _histogram_names(f"vllm:{name}", labels)


def _vllm(seen: Counters, queued: float) -> Iterator[float]:
    yield from (queued, seen.in_service, seen.completed)
    for tally in (seen.wait, seen.service, seen.response):
        yield from _histogram(tally)


def _histogram_names(name: str, labels: Mapping[str, str]) -> Iterator[Name]:
    for bound in (*(repr(bound) for bound in BOUNDS_S), "+Inf"):
        yield f"{name}_bucket", {**labels, "le": bound}
    yield f"{name}_sum", labels
    yield f"{name}_count", labels


def _histogram(tally: Tally) -> Iterator[float]:
    totals = list(accumulate(tally.counts))
    yield from totals
    yield tally.sum_s
    yield totals[-1]
