"""Traces of real traffic: read, written, described, and made into scenarios."""

from sim.traces.file import Finding, TraceError
from sim.traces.form import Counts, Labels, LoadTimes, Trace, service_from_tokens, write_trace
from sim.traces.formats import clock_step_s, read_load_times, read_trace

__all__ = [
    "Counts",
    "Finding",
    "Labels",
    "LoadTimes",
    "Trace",
    "TraceError",
    "clock_step_s",
    "read_load_times",
    "read_trace",
    "service_from_tokens",
    "write_trace",
]
