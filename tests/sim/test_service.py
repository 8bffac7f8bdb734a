"""Durations follow their laws, and do not depend on how they are read."""

import gzip
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from scipy import stats

from policies.spec import plain
from sim.service import (
    BalancedHyperexponential,
    Constant,
    Duration,
    Empirical,
    Erlang,
    Exponential,
    Gamma,
    Hyperexponential,
    Law,
    Lognormal,
    Pareto,
    Uniform,
    Weibull,
)
from sim.streams import Stream

CONTINUOUS = [
    (Uniform(low_s=2, high_s=6), stats.uniform(2, 4)),
    (Exponential(mean_s=5), stats.expon(scale=5)),
    (Gamma(mean_s=3, scv=0.25), stats.gamma(4, scale=0.75)),
    (Gamma(mean_s=3, scv=2.5), stats.gamma(0.4, scale=7.5)),
    (Erlang(mean_s=2, stages=4), stats.erlang(4, scale=0.5)),
    (Lognormal(mean_s=4, scv=1.5), stats.lognorm(math.sqrt(math.log(2.5)), scale=4 / math.sqrt(2.5))),
    (Pareto(mean_s=3, shape=6), stats.pareto(6, scale=2.5)),
    (Weibull(mean_s=2, shape=0.5), stats.weibull_min(0.5, scale=1)),
    (Weibull(mean_s=2, shape=3), stats.weibull_min(3, scale=2 / math.gamma(4 / 3))),
]
HYPEREXPONENTIAL = [
    BalancedHyperexponential(mean_s=2, scv=4),
    Hyperexponential(probabilities=(0.9, 0.1), means_s=(1, 20)),
    Hyperexponential(probabilities=(0.5, 0.25, 0.25), means_s=(0.1, 1, 3)),
]
DISCRETE = [
    Constant(value_s=3),
    Empirical(values_s=(0, 1, 1, 7)),
    Empirical(values_s=(5, 1, 3), weights=(1, 0, 3)),
]
LAWS = [law for law, _ in CONTINUOUS] + HYPEREXPONENTIAL + DISCRETE

laws = pytest.mark.parametrize("law", LAWS, ids=lambda law: law.kind)


def read(law: Any, chunks: list[int], seed: int = 11) -> np.ndarray:
    draw = law.sampler(Stream(seed) / "work")
    return np.concatenate([draw(n) for n in chunks])


@settings(deadline=None)
@given(st.sampled_from(LAWS), st.lists(st.integers(0, 70), min_size=1, max_size=12))
def test_durations_do_not_depend_on_how_many_are_read_at_a_time(law, chunks):
    assert read(law, chunks).tobytes() == read(law, [sum(chunks)]).tobytes()


@laws
def test_what_is_read_belongs_to_the_reader(law):
    draw = law.sampler(Stream(11) / "work")
    draw(3).fill(-1)
    assert np.array_equal(draw(3), read(law, [6])[3:])


@laws
def test_mean_and_scv_are_those_of_the_draws(law):
    values = read(law, [200_000])
    mean, second = values.mean(), (values**2).mean()
    # The delta method: how much each value moves the estimated SCV.
    influence = values**2 / mean**2 - 2 * second * values / mean**3
    assert abs(mean - law.mean_s) <= 5 * values.std() / math.sqrt(len(values)) + 1e-12
    assert abs(second / mean**2 - 1 - law.scv) <= 5 * influence.std() / math.sqrt(len(values)) + 1e-12


@pytest.mark.parametrize(("law", "known"), CONTINUOUS, ids=lambda law: getattr(law, "kind", ""))
def test_laws_agree_with_scipy(law, known):
    assert stats.kstest(read(law, [200_000]), known.cdf).pvalue > 0.001
    assert law.mean_s == pytest.approx(known.mean(), rel=1e-12)
    assert law.scv == pytest.approx(known.var() / known.mean() ** 2, rel=1e-9)
    for fraction in (1e-6, 0.05, 0.5, 0.95, 0.999999):
        assert law.quantile(fraction) == pytest.approx(known.ppf(fraction), rel=1e-9)


def share_within(law: Hyperexponential, value_s: Any) -> Any:
    return sum(p * -np.expm1(-value_s / mean) for p, mean in zip(law.probabilities, law.means_s, strict=True))


@pytest.mark.parametrize("law", HYPEREXPONENTIAL, ids=["balanced", "two", "three"])
def test_a_hyperexponential_is_a_mixture_of_exponentials(law):
    branches = law.branches if isinstance(law, BalancedHyperexponential) else law
    assert stats.kstest(read(law, [200_000]), lambda x: share_within(branches, x)).pvalue > 0.001


def test_the_branch_says_nothing_of_the_time_in_it():
    law = HYPEREXPONENTIAL[1]
    first_s = np.concatenate([read(law, [1], seed) for seed in range(3000)])
    assert stats.kstest(first_s, lambda x: share_within(law, x)).pvalue > 0.001


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.01, 1), st.floats(1e-3, 1e5)), min_size=1, max_size=5),
    st.floats(1e-6, 1 - 1e-6),
)
def test_hyperexponential_quantiles_invert_the_distribution(parts, fraction):
    total = sum(p for p, _ in parts)
    law = Hyperexponential(probabilities=tuple(p / total for p, _ in parts), means_s=tuple(m for _, m in parts))
    assert share_within(law, law.quantile(fraction)) == pytest.approx(fraction, abs=1e-9)


def test_balanced_branches_carry_equal_loads():
    branches = BalancedHyperexponential(mean_s=2, scv=3).branches
    assert [p * mean for p, mean in zip(branches.probabilities, branches.means_s, strict=True)] == [1, 1]
    assert branches.mean_s == 2
    assert branches.scv == pytest.approx(3)


def test_a_hyperexponential_of_scv_1_is_exponential():
    assert BalancedHyperexponential(mean_s=2, scv=1).branches.means_s == (2, 2)
    assert BalancedHyperexponential(mean_s=2, scv=1).quantile(0.95) == pytest.approx(2 * math.log(20))


def test_heavy_tails_have_no_variance():
    assert Pareto(mean_s=1, shape=2).scv == math.inf
    assert Pareto(mean_s=1, shape=2.5).scv == pytest.approx(0.8)


def test_no_pareto_duration_is_below_the_least():
    assert read(Pareto(mean_s=3, shape=1.5), [100_000]).min() >= 1


@pytest.mark.parametrize(
    "law",
    [
        Pareto(mean_s=1, shape=1.001),
        Weibull(mean_s=1, shape=0.05),
        Gamma(mean_s=1, scv=1e4),
        Lognormal(mean_s=1, scv=1e6),
        BalancedHyperexponential(mean_s=1, scv=1e6),
        Exponential(mean_s=1e-12),
    ],
    ids=lambda law: law.kind,
)
def test_even_wild_laws_draw_finite_durations(law):
    values = read(law, [100_000])
    assert np.isfinite(values).all()
    assert values.min() >= 0


def test_a_version_twice_as_slow_takes_twice_as_long_for_each_request():
    fast, slow = BalancedHyperexponential(mean_s=1, scv=4), BalancedHyperexponential(mean_s=2, scv=4)
    assert np.array_equal(2 * read(fast, [1000]), read(slow, [1000]))


@laws
@pytest.mark.parametrize("fraction", [0, 1, -0.5, 95])
def test_quantiles_lie_strictly_between_none_and_all(law, fraction):
    with pytest.raises(ValueError, match=r"must lie above 0 and below 1"):
        law.quantile(fraction)


def test_a_constant_may_be_no_time_at_all():
    law = Constant(value_s=0)
    assert (law.mean_s, law.scv, law.quantile(0.95), law.sampler(Stream(1))(2).tolist()) == (0, 0, 0, [0, 0])


def test_seen_durations_come_back_as_often_as_their_weights_say():
    law = Empirical(values_s=(5, 1, 3), weights=(1, 0, 3))
    values, counts = np.unique(read(law, [40_000]), return_counts=True)
    assert values.tolist() == [3, 5]
    assert counts[1] == pytest.approx(10_000, abs=5 * math.sqrt(40_000 * 3 / 16))
    assert (law.mean_s, law.quantile(0.75), law.quantile(0.76)) == (3.5, 3, 5)


def test_the_95th_percentile_of_twenty_is_the_nineteenth():
    assert Empirical(values_s=tuple(range(1, 21))).quantile(0.95) == 19


def law_of(given: Any, folder: Path | None = None) -> Any:
    return TypeAdapter(Duration).validate_python(given, context={"folder": folder} if folder else None)


@laws
def test_a_law_written_down_is_the_same_law(law):
    assert TypeAdapter(Law).validate_python(plain(law)) == law


def test_a_plain_number_is_a_constant():
    assert law_of(45) == Constant(value_s=45)
    assert {"type": "number"} in TypeAdapter(Duration).json_schema()["anyOf"]


@pytest.mark.parametrize(
    ("given", "place", "words"),
    [
        (-1, ("constant", "value_s"), "greater than or equal to 0"),
        (True, (), "valid dictionary"),
        ({"kind": "expnential"}, (), "does not match any of the expected tags"),
        ({"kind": "exponential", "mean": 3}, ("exponential", "mean_s"), "required"),
        ({"kind": "exponential", "mean_s": math.inf}, ("exponential", "mean_s"), "finite number"),
        ({"kind": "uniform", "low_s": 2, "high_s": 1}, ("uniform",), "low_s 2 is above high_s 1"),
        ({"kind": "pareto", "mean_s": 2, "shape": 1}, ("pareto", "shape"), "greater than 1"),
        ({"kind": "hyperexponential", "mean_s": 1, "scv": 0.5}, ("hyperexponential", "balanced", "scv"), "equal to 1"),
        (
            {"kind": "hyperexponential", "probabilities": [0.5, 0.4], "means_s": [1, 2]},
            ("hyperexponential", "branches", "probabilities"),
            "add to 0.9; must add to 1",
        ),
        (
            {"kind": "hyperexponential", "probabilities": [0.5, 0.5], "means_s": [1]},
            ("hyperexponential", "branches"),
            "2 probabilities need as many means_s, got 1",
        ),
        ({"kind": "empirical"}, ("empirical",), "needs either values_s"),
        ({"kind": "empirical", "values_s": [1], "file": "a.csv"}, ("empirical",), "needs either values_s"),
        ({"kind": "empirical", "file": "a.csv"}, ("empirical",), "give column"),
        ({"kind": "empirical", "values_s": [1], "unit_s": 0.001}, ("empirical",), "said of a file"),
        ({"kind": "empirical", "values_s": [1, -2]}, ("empirical", "values_s", 1), "equal to 0"),
        ({"kind": "empirical", "values_s": [1, 2], "weights": [0, 0]}, ("empirical",), "not all 0"),
    ],
)
def test_faults_are_told_where_they_are(given, place, words):
    with pytest.raises(ValidationError) as caught:
        law_of(given)
    assert words in next(e["msg"] for e in caught.value.errors() if e["loc"] == place)


LOADS = "model,state,load_ms\nm1,ok,1500\nm2,ok,2500\nm1,failed,\n"


def test_durations_are_read_beside_the_scenario(tmp_path):
    (tmp_path / "loads.csv").write_text(LOADS)
    given = {"kind": "empirical", "file": "loads.csv", "column": "load_ms", "unit_s": 0.001, "where": {"state": "ok"}}
    assert law_of(given, tmp_path) == Empirical(values_s=(1.5, 2.5))
    assert law_of(given).resolved(tmp_path).mean_s == 2


def test_a_gzipped_file_from_a_spreadsheet_is_the_same(tmp_path):
    (tmp_path / "loads.csv.gz").write_bytes(gzip.compress(LOADS.replace("\n", "\r\n").encode("utf-8-sig")))
    law = Empirical(file="loads.csv.gz", column="load_ms", where={"model": "m2"})
    assert law.resolved(tmp_path).values_s == (2500,)


def test_durations_given_in_the_scenario_need_no_file(tmp_path):
    law = Empirical(values_s=(1, 2))
    assert law.resolved(tmp_path) is law


def test_a_law_not_read_yet_says_so():
    with pytest.raises(ValueError, match=r"loads\.csv: durations not read yet"):
        _ = Empirical(file="loads.csv", column="load_ms").mean_s


@pytest.mark.parametrize(
    ("law", "words"),
    [
        ({"file": "gone.csv", "column": "x"}, r"gone\.csv: no such file"),
        ({"file": "loads.csv", "column": "x"}, r"loads\.csv: no column x; columns are model, state, load_ms"),
        ({"file": "loads.csv", "column": "load_ms", "where": {"version": "1"}}, r"no column version"),
        ({"file": "loads.csv", "column": "load_ms", "where": {"model": "m9"}}, r"no rows where .*m9"),
        ({"file": "loads.csv", "column": "load_ms"}, r"loads\.csv:4: load_ms: '' is no number"),
        ({"file": "minus.csv", "column": "x"}, r"minus\.csv:3: x: -1 is no duration"),
        ({"file": "endless.csv", "column": "x"}, r"endless\.csv:2: x: inf is no duration"),
        ({"file": "short.csv", "column": "b"}, r"short\.csv:2: b: None is no number"),
        ({"file": "empty.csv", "column": "x"}, r"empty\.csv: no column x"),
        ({"file": "plain.csv.gz", "column": "x"}, r"plain\.csv\.gz: cannot be read as CSV"),
        ({"file": "latin.csv", "column": "x"}, r"latin\.csv: cannot be read as CSV"),
        ({"file": ".", "column": "x"}, r"cannot be read as CSV"),
    ],
)
def test_an_unfit_file_is_refused_with_its_line(tmp_path, law, words):
    contents = {"minus": "x\n1\n-1\n", "endless": "x\ninf\n", "short": "a,b\n1\n", "empty": "", "loads": LOADS}
    for name, text in contents.items():
        (tmp_path / f"{name}.csv").write_text(text)
    (tmp_path / "plain.csv.gz").write_text("x\n1\n")
    (tmp_path / "latin.csv").write_bytes("x\né\n".encode("latin-1"))
    with pytest.raises(ValueError, match=words):
        Empirical(**law).resolved(tmp_path)
