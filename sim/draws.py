"""Probabilities and draws, as the laws of durations and of arrivals share them."""

import math
from collections.abc import Callable, Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator

from policies.spec import AList, Fraction
from sim.streams import Stream


def adding_to_one(shares: Sequence[float]) -> Sequence[float]:
    """The same shares. Raises `ValueError` where their sum is not 1 within 1e-9."""
    if abs(math.fsum(shares) - 1) > 1e-9:
        raise ValueError(f"probabilities add to {math.fsum(shares):g}; must add to 1")
    return shares


Shares = Annotated[tuple[Fraction, ...], AList, AfterValidator(adding_to_one)]

Sampler = Callable[[int], NDArray[np.float64]]
"""The next n numbers of a stream, in an array of the caller's own; the same however many are read at a time."""


def chooser(stream: Stream, weights: Sequence[float]) -> Callable[[int], NDArray[np.intp]]:
    """The next n indices of a stream, each i drawn in proportion to weights[i]."""
    edges = np.cumsum(weights) / np.sum(weights)
    edges[-1] = 1.0
    generator = stream.generator()
    return lambda n: np.searchsorted(edges, generator.random(n), side="right")


def inner(fraction: float) -> float:
    """The same fraction. Raises `ValueError` where it does not lie strictly between 0 and 1."""
    if not 0 < fraction < 1:
        raise ValueError(f"quantile at {fraction:g}; must lie above 0 and below 1")
    return fraction


def scaled(drawn: NDArray[np.float64], by: float) -> NDArray[np.float64]:
    """The same array, each number of it multiplied: what NumPy's own laws with a scale do more slowly."""
    drawn *= by
    return drawn


def running_total(draw: Sampler) -> Sampler:
    """The sums of all draws up to each, in the order of drawing, however many are read at a time."""
    total = 0.0

    def read(n: int) -> NDArray[np.float64]:
        nonlocal total
        steps = draw(n)
        if n:
            steps[0] += total
            np.cumsum(steps, out=steps)
            total = float(steps[-1])
        return steps

    return read
