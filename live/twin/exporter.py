"""What the exporters of the pods show at a scrape: the metrics of the generic preset, and those of vLLM."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Literal, NamedTuple

from live.twin.load import BOUNDS_S, Queue, Server, Tally
from live.twin.series import SeriesStore, written

Style = Literal["generic", "vllm"]


class Shown(NamedTuple):
    metric: str
    labels: Mapping[str, str]
    value: float


def scraped(store: SeriesStore, queue: Queue, styles: Iterable[Style], time_s: float) -> None:
    """Store what all pods of a queue show."""
    for shown in of_queue(queue, styles):
        store.add(shown.metric, shown.labels, time_s, shown.value)


def of_queue(queue: Queue, styles: Iterable[Style]) -> Iterator[Shown]:
    servers = list(queue.servers.values())
    for i, server in enumerate(servers):
        server.pass_to(queue.now_s)
        # They share the queue; so each shows its part of it.
        queued = (len(queue.waiting) + len(servers) - 1 - i) // len(servers)
        labels = {"namespace": queue.workload.namespace, "pod": server.name, **queue.workload.labels}
        for style in styles:
            yield from (_generic if style == "generic" else _vllm)(server, queued, labels)


def exposition(shown: Iterable[Shown]) -> str:
    """The text that a Prometheus scrapes."""
    lines = []
    for metric, labels, value in shown:
        inside = ",".join(f'{name}="{text}"' for name, text in labels.items())
        lines.append(f"{metric}{{{inside}}} {written(value)}\n")
    return "".join(sorted(lines))


def _generic(server: Server, queued: int, labels: Mapping[str, str]) -> Iterator[Shown]:
    counters = server.counters
    yield Shown("requests_queued", labels, queued)
    yield Shown("requests_in_service", labels, server.busy)
    for name in ("arrived", "started", "completed", "failed", "rejected", "abandoned"):
        yield Shown(f"requests_{name}_total", labels, getattr(counters, name))
    yield Shown("requests_busy_seconds_total", labels, counters.busy_s)
    for name in ("wait", "service", "response"):
        yield from _histogram(f"requests_{name}_seconds", getattr(counters, name), labels)


def _vllm(server: Server, queued: int, labels: Mapping[str, str]) -> Iterator[Shown]:
    counters = server.counters
    labels = {"model_name": "model", **labels}
    yield Shown("vllm:num_requests_running", labels, server.busy)
    yield Shown("vllm:num_requests_waiting", labels, queued)
    yield Shown("vllm:request_success_total", {**labels, "finished_reason": "stop"}, counters.completed)
    yield from _histogram("vllm:request_queue_time_seconds", counters.wait, labels)
    yield from _histogram("vllm:request_inference_time_seconds", counters.service, labels)
    yield from _histogram("vllm:e2e_request_latency_seconds", counters.response, labels)


def _histogram(name: str, tally: Tally, labels: Mapping[str, str]) -> Iterator[Shown]:
    bounds = [*(repr(bound) for bound in BOUNDS_S), "+Inf"]
    for bound, total in zip(bounds, accumulate(tally.counts), strict=True):
        yield Shown(f"{name}_bucket", {**labels, "le": bound}, total)
    yield Shown(f"{name}_sum", labels, tally.sum_s)
    yield Shown(f"{name}_count", labels, sum(tally.counts))
