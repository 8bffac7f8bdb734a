"""A finished run: its scenario, its figures, its tables; in memory, as JSON, and as a folder on disk."""

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version
from typing import TYPE_CHECKING, Any

from policies import specfile
from policies.faults import InputError
from policies.spec import plain
from sim import frames
from sim.records import Stored
from sim.scenario import Scenario, load
from sim.summary import Run, Summarizer, Summary, plain_group, read_group
from sim.text import duration
from sim.theory import predictions
from sim.verdicts import Verdict, verdicts

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

PACKAGES = ("poolwright", "simpy", "numpy", "scipy", "pandas", "pydantic")
RECORD = "result.json"


class ResultError(InputError):
    """A folder that does not hold a result, or may not be written to."""


@dataclass(eq=False)
class Result:
    """Tidy tables, each made when it is first asked for.

    `summary` is the same as `figures`, as a table; `pools` has a row for each tick and pool, `decisions` for each tick
    and pool that the policy spoke of, `course` for each of the windows of the run, 128 to 256, `distribution` for each
    bin of response time; `requests` for each request or a share of them, only if the run was asked to keep them.
    """

    scenario: Scenario
    figures: Summary
    warmup_s: float
    end_s: float
    replications: int
    versions: Mapping[str, str]
    sources: Mapping[str, "Callable[[], pd.DataFrame]"]
    partial: bool = False
    """Whether the run was broken off before its end."""
    requests_share: float | None = None
    """Of which share of the requests there are records."""
    _made: "dict[str, pd.DataFrame]" = field(default_factory=dict, repr=False)

    def frame(self, name: str) -> "pd.DataFrame":
        """The table of this name. Raises `ResultError` for one that this result does not have."""
        if name not in self.sources:
            raise ResultError(f"this result has no table {name!r}; it has {', '.join(self.sources)}")
        if name not in self._made:
            self._made[name] = self.sources[name]()
        return self._made[name]

    @property
    def summary(self) -> "pd.DataFrame":
        return self.frame("summary")

    @property
    def pools(self) -> "pd.DataFrame":
        return self.frame("pools")

    @property
    def decisions(self) -> "pd.DataFrame":
        return self.frame("decisions")

    @property
    def course(self) -> "pd.DataFrame":
        return self.frame("course")

    @property
    def distribution(self) -> "pd.DataFrame":
        return self.frame("distribution")

    @property
    def requests(self) -> "pd.DataFrame":
        return self.frame("requests")

    @property
    def simulated_s(self) -> float:
        """Of all replications together."""
        return self.end_s * self.replications

    @property
    def verdicts(self) -> list[Verdict]:
        """What theory and the scenario's claims say, held against what was simulated."""
        return verdicts(self.scenario, self.figures)

    @property
    def interval(self) -> str:
        """Where the confidence intervals come from."""
        if self.replications > 1:
            return f"{self.replications} replications"
        return "one run cut into windows of equal time"

    def to_json(self) -> dict[str, Any]:
        """One object for programs; infinite and unknown figures are null."""
        return {
            "scenario": plain(self.scenario),
            "seed": self.scenario.seed,
            "versions": dict(self.versions),
            "horizon_s": self.end_s,
            "warmup_s": self.warmup_s,
            "replications": self.replications,
            "partial": self.partial,
            "simulated_s": self.simulated_s,
            "requests_share": self.requests_share,
            "interval": self.interval,
            "notes": list(self.figures.notes),
            "overall": plain_group(self.figures.overall),
            "by_model": {name: plain_group(g) for name, g in self.figures.by_model.items()},
            "by_version": {name: plain_group(g) for name, g in self.figures.by_version.items()},
            "by_class": {name: plain_group(g) for name, g in self.figures.by_class.items()},
            "theory": [p.to_json() for p in predictions(self.scenario)],
            "verdicts": [v.to_json() for v in self.verdicts],
        }

    def __repr__(self) -> str:
        many = f"{self.replications} x " if self.replications > 1 else ""
        part = ", partial" if self.partial else ""
        course = f"{many}{duration(self.end_s)}, seed {self.scenario.seed}, policy {self.scenario.policy.kind}{part}"
        return f"<result of {self.scenario.name}: {course}>"

    def _repr_html_(self) -> str:
        from sim.report import summary_html

        return summary_html(self)

    def save(self, folder: Path) -> None:
        """Write everything into a folder, whole or not at all; a result that was there before is replaced.

        Raises `ResultError` where something else stands there.
        """
        with replacing(folder) as new:
            (new / RECORD).write_text(json.dumps(self.to_json(), indent=1) + "\n")
            (new / "scenario.yaml").write_text(specfile.write(self.scenario))
            for name, source in self.sources.items():
                if isinstance(source, Stored):
                    source.save(new / f"{name}.parquet")
                else:
                    self.frame(name).to_parquet(new / f"{name}.parquet", index=False)


def finished(
    scenario: Scenario,
    runs: Sequence[Run],
    warmup_s: float,
    partial_words: str | None = None,
    records: Stored | None = None,
    share: float | None = None,
) -> Result:
    """The result of these replications, measured from `warmup_s` on.

    `partial_words` say what there is of a run that was broken off; `records` are those of a `share` of the requests.
    """
    figures = Summarizer(scenario, runs, warmup_s).summary()
    if partial_words:
        figures = replace(
            figures, notes=(f"the run was broken off: this is a part of it, {partial_words}", *figures.notes)
        )
    sources: dict[str, Callable[[], pd.DataFrame]] = {
        "summary": partial(frames.summary_frame, figures),
        "pools": partial(frames.pools_frame, runs, scenario),
        "decisions": partial(frames.decisions_frame, runs),
        "course": partial(frames.course_frame, runs, scenario),
        "distribution": partial(frames.distribution_frame, runs, scenario),
    }
    if records:
        sources["requests"] = records
    return Result(
        scenario=scenario,
        figures=figures,
        warmup_s=warmup_s,
        end_s=runs[0].end_s,
        replications=len(runs),
        versions=software(),
        sources=sources,
        partial=partial_words is not None,
        requests_share=share,
    )


def read(folder: str | Path) -> Result:
    """The result that `Result.save` wrote. Raises `ResultError` where there is none."""
    folder = Path(folder)
    try:
        record = json.loads((folder / RECORD).read_text())
    except (OSError, json.JSONDecodeError) as fault:
        raise ResultError(f"{folder}: no result is there to read ({fault})") from fault
    groups = {
        kind: {n: read_group(g) for n, g in record[kind].items()} for kind in ("by_model", "by_version", "by_class")
    }
    figures = Summary(overall=read_group(record["overall"]), **groups, notes=tuple(record["notes"]))
    found = {path.stem: Stored(path) for path in sorted(folder.glob("*.parquet"))}
    return Result(
        scenario=load(folder / "scenario.yaml"),
        figures=figures,
        warmup_s=record["warmup_s"],
        end_s=record["horizon_s"],
        replications=record["replications"],
        versions=record["versions"],
        sources=found,
        partial=record["partial"],
        requests_share=record["requests_share"],
    )


def software() -> dict[str, str]:
    """The versions of everything that a result depends on."""
    found = {"python": python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found


def vacant(folder: Path, record: str = RECORD) -> None:
    """Raise `ResultError` where `folder` is there and is neither empty nor an earlier result, told by its `record`."""
    if folder.exists() and not (folder / record).exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ResultError(f"{folder}: something else than a result is there; choose another folder or remove it")


@contextmanager
def replacing(folder: Path, record: str = RECORD) -> "Iterator[Path]":
    """A new folder to fill, which takes the place of `folder` when it is whole, and is gone if that fails.

    Raises `ResultError` where `folder` is there and is neither empty nor an earlier result.
    """
    vacant(folder, record)
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        new.chmod(0o755)
        yield new
        if folder.exists():
            old = folder.with_name(f"{new.name}-old")
            folder.rename(old)
            new.rename(folder)
            shutil.rmtree(old)
        else:
            new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
