"""What a cluster remembers: objects by key, each change numbered, the last changes kept for those who watch."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Object = dict[str, Any]

EVENTS = {"create": "ADDED", "update": "MODIFIED", "delete": "DELETED"}


class Key(NamedTuple):
    resource: str
    """Group and plural, as in `apps/deployments`; versions of a group share their objects."""
    namespace: str
    name: str


class Change(NamedTuple):
    version: int
    act: str
    """create, update or delete."""
    key: Key
    before: Object | None
    after: Object
    """For a delete, the object as it went."""


@dataclass(slots=True)
class Store:
    """Objects are replaced, never changed: what is read here may be kept, and must not be written to."""

    version: int = 1000
    """The number of the last change: the resource version of the whole."""
    keep: int = 10_000
    """Changes remembered; a watch that is further behind is told 410 Gone."""
    compacted: int = 1000
    """Changes up to this number are forgotten."""
    _objects: dict[str, dict[Key, Object]] = field(default_factory=dict)
    _changes: deque[Change] = field(default_factory=deque)

    def get(self, key: Key) -> Object | None:
        return self._objects.get(key.resource, {}).get(key)

    def all(self, resource: str, namespace: str | None = None) -> list[Object]:
        """All of a kind, by namespace and name."""
        found = self._objects.get(resource, {})
        return [found[key] for key in sorted(found) if namespace in (None, key.namespace)]

    def put(self, key: Key, value: Object) -> Object:
        """Keep a new object or a new state of one, under the next number; gives it with that number in it."""
        before = self.get(key)
        return self._record("create" if before is None else "update", key, before, value)

    def delete(self, key: Key) -> Object:
        """Raises KeyError where there is none."""
        before = self._objects[key.resource].pop(key)
        return self._record("delete", key, before, before)

    def since(self, version: int) -> Iterator[Change]:
        """Changes after that number, oldest first. The caller has seen that it is not `compacted`."""
        newer = len(self._changes) - max(0, min(self.version - version, len(self._changes)))
        return (self._changes[i] for i in range(newer, len(self._changes)))

    def as_of(self, version: int, resource: str, namespace: str | None = None) -> list[Object]:
        """The list as it was at that number, or as far back as is remembered."""
        found = dict(self._objects.get(resource, {}))
        for change in reversed(self._changes):
            if change.version <= version:
                break
            if change.key.resource == resource:
                if change.before is None:
                    found.pop(change.key, None)
                else:
                    found[change.key] = change.before
        return [found[key] for key in sorted(found) if namespace in (None, key.namespace)]

    def compact(self) -> None:
        """Forget all changes: every watch that goes on from an earlier number is refused."""
        self._changes.clear()
        self.compacted = self.version

    def _record(self, act: str, key: Key, before: Object | None, value: Object) -> Object:
        self.version += 1
        after = {**value, "metadata": {**value["metadata"], "resourceVersion": str(self.version)}}
        if act != "delete":
            self._objects.setdefault(key.resource, {})[key] = after
        self._changes.append(Change(self.version, act, key, before, after))
        if len(self._changes) > self.keep:
            self.compacted = self._changes.popleft().version
        return after
