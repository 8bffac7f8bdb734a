"""Checks that a number lies where a formula holds."""

import math


def positive(**numbers: float) -> None:
    """Raises `ValueError` unless every number is finite and above 0."""
    for name, value in numbers.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name} is {value}, must be finite and above 0")


def not_negative(**numbers: float) -> None:
    """Raises `ValueError` unless every number is finite and at least 0."""
    for name, value in numbers.items():
        if not 0 <= value < math.inf:
            raise ValueError(f"{name} is {value}, must be finite and at least 0")


def inner_fraction(**numbers: float) -> None:
    """Raises `ValueError` unless every number lies strictly between 0 and 1."""
    for name, value in numbers.items():
        if not 0 < value < 1:
            raise ValueError(f"{name} is {value}, must lie strictly between 0 and 1")


def whole(least: int, **numbers: float) -> None:
    """Raises `ValueError` unless every number is whole and at least `least`."""
    for name, value in numbers.items():
        if not value >= least or value != value // 1:
            raise ValueError(f"{name} is {value}, must be a whole number of at least {least}")


def settled(offered: float, servers: int) -> None:
    """Raises `ValueError` where this many erlangs would make the queue before these servers grow for ever."""
    if not offered < servers:
        raise ValueError(f"servers is {servers}, too few for {offered:g} erlangs; must be at least {least(offered)}")


def least(offered: float) -> int:
    """The fewest servers that can bear this many erlangs without end. Raises `ValueError` unless it is finite."""
    not_negative(offered=offered)
    return math.floor(offered) + 1
