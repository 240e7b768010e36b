"""One document of many: the metrics and the traces of several processes. Pure texts and values.

Metrics are not added up: each process counts from its own start, and a sum would fall when one of
them is started again, which Prometheus takes for a reset of all. So each sample says in a label
`worker` whose it is; what stands without that label is about the daemon as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

OPEN_METRICS = "application/openmetrics-text; version=1.0.0"
"""in which workers are asked: its parser knows which sample belongs to what"""
READY, WORKER_READY = "reenactd_ready", "reenactd_worker_ready"
"""of the daemon, which is ready where one worker is; and of each"""
OF_ALL = ("reenactd_build_info", READY, "reenactd_next_session_fps")
"""what the daemon says for all workers"""
OF_ANY = ("reenactd_gpu_memory_bytes",)
"""what each worker sees in the same way: one of them tells it"""
OWN = (*OF_ALL, "reenactd_sessions_refused", "process_")
"""what is told of the process that listens; the beginnings of names"""


def merged_metrics(own: str, workers: Mapping[int, str], accept: str) -> tuple[bytes, str]:
    """The text and its content type.

    Args:
        own: of the process that listens, in OpenMetrics, as the workers' are.
        accept: what the client wants to have.
    """
    encode, content_type = choose_encoder(accept)
    registry = CollectorRegistry()
    registry.register(_Ready(_families(own, workers)))
    return encode(registry), content_type


class _Ready(Collector):
    """Families that are there already."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterator[Metric]:
        return iter(self._families)


def _families(own: str, workers: Mapping[int, str]) -> Iterable[Metric]:
    families: dict[str, Metric] = {}

    def add(family: Metric, samples: Iterable[Sample]) -> None:
        kept = families.setdefault(
            family.name, Metric(family.name, family.documentation, family.type, family.unit)
        )
        kept.samples.extend(samples)

    for family in _parsed(own):
        if family.name.startswith(OWN):
            add(family, family.samples)
    told_once: set[str] = set()
    for index, text in workers.items():
        for family in _parsed(text):
            if family.name.startswith(OF_ANY) and family.samples and family.name not in told_once:
                told_once.add(family.name)
                add(family, family.samples)
            elif family.name == READY:
                of_one = Metric(WORKER_READY, "1 where a session can be opened there.", "gauge")
                ready = (sample._replace(name=WORKER_READY) for sample in family.samples)
                add(of_one, (_labelled(sample, index) for sample in ready))
            elif not family.name.startswith((*OF_ALL, *OF_ANY)):
                add(family, (_labelled(sample, index) for sample in family.samples))
    return families.values()


def _parsed(text: str) -> Iterator[Metric]:
    families: Iterator[Metric] = text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
    return families


def _labelled(sample: Sample, worker: int) -> Sample:
    return sample._replace(labels={"worker": str(worker), **sample.labels})


def merged_traces(traces: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """One document, whose times begin when the first of them began.

    Args:
        traces: by worker, as `tracing.Recording` writes them; at least one.
    """
    abouts = [trace["otherData"] for trace in traces.values()]
    began_ns = min(about["began_ns"] for about in abouts)
    ended_ns = max(about["began_ns"] + about["duration_ns"] for about in abouts)
    events = [
        event
        for worker, trace in traces.items()
        for event in _moved(worker, trace, trace["otherData"]["began_ns"] - began_ns)
    ]
    about = {
        **abouts[0],
        "complete": all(about["complete"] for about in abouts),
        "began_ns": began_ns,
        "duration_ns": ended_ns - began_ns,
    }
    return {"displayTimeUnit": "ms", "otherData": about, "traceEvents": events}


def _moved(worker: int, trace: Mapping[str, Any], later_ns: int) -> Iterator[dict[str, Any]]:
    for event in trace["traceEvents"]:
        if event["ph"] != "M":
            yield {**event, "ts": event["ts"] + later_ns / 1e3}
        elif event["name"] == "process_name":
            yield {**event, "args": {"name": f"{event['args']['name']} worker {worker}"}}
        else:
            yield event
