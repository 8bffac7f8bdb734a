"""Named streams of random numbers: one seed, one stream for each purpose, none disturbed by another."""

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np


@dataclass(frozen=True, slots=True)
class Stream:
    """A place in the randomness of a seed; `stream / "arrivals" / "chat"` is the same place in every run."""

    seed: int
    path: tuple[str, ...] = ()

    def __truediv__(self, name: str) -> "Stream":
        return Stream(self.seed, (*self.path, name))

    def generator(self) -> np.random.Generator:
        """A fresh generator at the start of this stream."""
        digest = blake2b("\0".join(self.path).encode(), digest_size=16).digest()
        key = tuple(int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4))
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(self.seed, spawn_key=key)))
