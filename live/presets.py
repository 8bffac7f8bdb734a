"""Which metrics of a serving system are which readings, and by which labels a target's series are known.

An expression is PromQL with `{selector}` where a target's matchers belong (no braces of its own), or a metric's bare
name. One that begins with `=` is a sum of other readings. Readings that a system does not have are left out: unknown.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from pydantic.dataclasses import dataclass as checked

from policies.observation import Flow
from policies.spec import STRICT, Positive

PODS = "{pods}"
"""As the value of a label: the names of the target's own pods, known from the cluster."""

SCALARS = tuple(f.name for f in fields(Flow) if not f.name.endswith("_s"))
HISTOGRAMS = tuple(f.name for f in fields(Flow) if f.name.endswith("_s"))

System = Literal["vllm", "triton", "kserve", "ray-serve", "istio", "ingress-nginx", "generic"]


@checked(frozen=True, kw_only=True, config=STRICT)
class Distribution:
    """A cumulative histogram; one without `bucket` has a mean only."""

    bucket: str | None = None
    sum: str
    count: str | None = None
    """Needed where there is no `bucket`; else the last bucket counts all."""
    unit_s: Positive = 1.0
    """Seconds in one unit of the metric."""

    @classmethod
    def of(cls, metric: str, unit_s: float = 1.0) -> "Distribution":
        """A Prometheus histogram by the name that its series share; braces with matchers may follow the name."""
        name, brace, matchers = metric.partition("{")
        rest = brace + matchers
        return cls(bucket=f"{name}_bucket{rest}", sum=f"{name}_sum{rest}", unit_s=unit_s)


@dataclass(frozen=True, slots=True)
class Queries:
    """How one target's readings are asked for."""

    labels: Mapping[str, str]
    """Label -> value, in which `{namespace}`, `{name}`, `{model}` and `{version}` are the target's; or `PODS`."""
    age: str
    """An instant vector of any series that comes with each scrape: the oldest of its samples dates the reading."""
    scalars: Mapping[str, str] = field(default_factory=dict)
    """Reading -> expression; times are in seconds."""
    histograms: Mapping[str, Distribution] = field(default_factory=dict)
    sources: tuple[str, ...] = ("pod",)
    """The labels that tell the sources of one counter apart, each of which may restart or end by itself."""

    def labelled(self, more: Mapping[str, str]) -> "Queries":
        """With other labels besides."""
        return replace(self, labels={**self.labels, **more})

    def only(self, names: Collection[str]) -> "Queries":
        """Without other readings, except those that one of these is the sum of."""
        sums = [text for name, text in self.scalars.items() if name in names and text.startswith("=")]
        wanted = {*names, *(part.strip() for text in sums for part in text[1:].split("+"))}
        scalars = {name: text for name, text in self.scalars.items() if name in wanted}
        return replace(self, scalars=scalars, histograms={n: h for n, h in self.histograms.items() if n in wanted})

    def overridden(self, by: Mapping[str, "str | Distribution | None"]) -> "Queries":
        """With some readings asked for in another way, or, by None, not at all; `age` may be among them."""
        scalars, histograms, age = dict(self.scalars), dict(self.histograms), self.age
        for name, wanted in by.items():
            if name == "age":
                age = str(wanted)
            elif name in HISTOGRAMS:
                _set(histograms, name, Distribution.of(wanted) if isinstance(wanted, str) else wanted)
            else:
                _set(scalars, name, wanted)
        return replace(self, scalars=scalars, histograms=histograms, age=age)


def _set(mapping: dict[str, Any], name: str, value: Any) -> None:
    if value is None:
        mapping.pop(name, None)
    else:
        mapping[name] = value


_OF_PODS = {"namespace": "{namespace}", "pod": PODS}
_MS, _US = 1e-3, 1e-6
_KNATIVE = 'kn_serving_invocation_duration_seconds_count{http_response_status_code%s"5..",{selector}}'

PRESETS: Mapping[System, Queries] = {
    # vLLM's API server, V1 engine. It counts requests when they end, for whatever reason; what has arrived is what has
    # ended and what is there (without those that clients gave up, which it does not always count). Not known: failed,
    # rejected, abandoned, busy time. A target's slots: --max-num-seqs is what one replica serves at once.
    "vllm": Queries(
        labels=_OF_PODS,
        age="vllm:num_requests_running",
        scalars={
            "queued": "vllm:num_requests_waiting",
            "in_service": "vllm:num_requests_running",
            "arrived_total": "= completed_total + in_service + queued",
            "started_total": "= completed_total + in_service",
            "completed_total": "vllm:request_success_total",
        },
        histograms={
            "wait_s": Distribution.of("vllm:request_queue_time_seconds"),
            "service_s": Distribution.of("vllm:request_inference_time_seconds"),
            "response_s": Distribution.of("vllm:e2e_request_latency_seconds"),
        },
    ),
    # Triton 23.04 and later: counters of time in microseconds, so means without quantiles. Busy time is of requests
    # that ended, and of each request of a batch by itself. Not known: in service, started, rejected, abandoned.
    "triton": Queries(
        labels=_OF_PODS,
        age="nv_inference_request_success",
        scalars={
            "queued": "nv_inference_pending_request_count",
            "arrived_total": "= completed_total + failed_total + queued",
            "completed_total": "nv_inference_request_success",
            "failed_total": "nv_inference_request_failure",
            "busy_s_total": "nv_inference_compute_infer_duration_us{{selector}} * 1e-6",
        },
        histograms={
            "wait_s": Distribution(
                sum="nv_inference_queue_duration_us", count="nv_inference_request_success", unit_s=_US
            ),
            "service_s": Distribution(
                sum="nv_inference_compute_infer_duration_us", count="nv_inference_request_success", unit_s=_US
            ),
            "response_s": Distribution(
                sum="nv_inference_request_duration_us", count="nv_inference_request_success", unit_s=_US
            ),
        },
    ),
    # KServe in its serverless mode, and Knative: the queue proxy beside each container, as of Knative 1.21 (request
    # metrics switched on in config-observability). It counts what has ended. Not known: in service, started, wait.
    "kserve": Queries(
        labels=_OF_PODS,
        age="kn_serving_invocation_duration_seconds_count",
        scalars={
            "queued": "kn_serving_queue_depth",
            "arrived_total": "kn_serving_invocation_duration_seconds_count",
            "completed_total": _KNATIVE % "!~",
            "failed_total": _KNATIVE % "=~",
        },
        histograms={"response_s": Distribution.of("kn_serving_invocation_duration_seconds")},
    ),
    # Ray Serve: one deployment of an application, wherever its replicas run. The latency is of the replica alone.
    # Not known: started, rejected, abandoned, wait, response time, busy time.
    "ray-serve": Queries(
        labels={"deployment": "{name}"},
        age="ray_serve_replica_processing_queries",
        scalars={
            "queued": "ray_serve_deployment_queued_queries",
            "in_service": "ray_serve_replica_processing_queries",
            "arrived_total": "ray_serve_num_router_requests_total",
            "completed_total": "ray_serve_deployment_request_counter_total",
            "failed_total": "ray_serve_deployment_error_counter_total",
        },
        histograms={"service_s": Distribution.of("ray_serve_deployment_processing_latency_ms", unit_s=_MS)},
        sources=("instance", "WorkerId"),
    ),
    # Istio and its Envoy, as the destination's proxy reports. It counts a request when its answer ends, so arrivals
    # are seen late by the response time. Not known: queued, in service, started, abandoned, wait, service, busy time.
    "istio": Queries(
        labels={"destination_workload_namespace": "{namespace}", "destination_workload": "{name}"},
        age='istio_requests_total{reporter="destination",{selector}}',
        scalars={
            "arrived_total": 'istio_requests_total{reporter="destination",{selector}}',
            "completed_total": 'istio_requests_total{reporter="destination",response_code!~"5..",{selector}}',
            "failed_total": 'istio_requests_total{reporter="destination",response_code=~"5..",{selector}}',
        },
        histograms={
            "response_s": Distribution.of(
                'istio_request_duration_milliseconds{reporter="destination",{selector}}', unit_s=_MS
            )
        },
        sources=("pod", "instance"),
    ),
    # ingress-nginx: the service behind an ingress, whose name is taken to be the target's. Counted when the answer
    # ends. A scrape keeps its own `namespace` and `service`, so the ingress's are `exported_` (give labels where the
    # scrape honours them). Not known: queued, in service, started, abandoned, wait, service, busy time.
    "ingress-nginx": Queries(
        labels={"exported_namespace": "{namespace}", "exported_service": "{name}"},
        age="nginx_ingress_controller_requests",
        scalars={
            "arrived_total": "nginx_ingress_controller_requests",
            "completed_total": 'nginx_ingress_controller_requests{status!~"5..",{selector}}',
            "failed_total": 'nginx_ingress_controller_requests{status=~"5..",{selector}}',
        },
        histograms={"response_s": Distribution.of("nginx_ingress_controller_request_duration_seconds")},
        sources=("pod", "instance"),
    ),
    # Any exporter that names its metrics after the readings; all of them.
    "generic": Queries(
        labels=_OF_PODS,
        age="requests_in_service",
        scalars={
            "queued": "requests_queued",
            "in_service": "requests_in_service",
            "arrived_total": "requests_arrived_total",
            "started_total": "requests_started_total",
            "completed_total": "requests_completed_total",
            "failed_total": "requests_failed_total",
            "rejected_total": "requests_rejected_total",
            "abandoned_total": "requests_abandoned_total",
            "busy_s_total": "requests_busy_seconds_total",
        },
        histograms={
            "wait_s": Distribution.of("requests_wait_seconds"),
            "service_s": Distribution.of("requests_service_seconds"),
            "response_s": Distribution.of("requests_response_seconds"),
        },
    ),
}
"""Names as of 2026, from the documentation of each system."""
