"""A watch on the fake API: what changed since a resource version, as events."""

from dataclasses import dataclass
from typing import Any

from live.twin.kinds import Kind
from live.twin.patch import copied
from live.twin.refusals import expired
from live.twin.selectors import Test
from live.twin.store import EVENTS, Change, Object, Store

Event = dict[str, Any]


def shown(kind: Kind, value: Object) -> Object:
    """As it is told to others: their own copy, under the version that was asked for."""
    return {**copied(value), "kind": kind.name, "apiVersion": kind.group_version}


@dataclass(slots=True)
class StoreWatch:
    """Events of one kind that pass a test; over after an ERROR."""

    store: Store
    kind: Kind
    namespace: str | None
    test: Test
    version: int
    bookmarks: bool = False
    first: list[Event] | None = None
    """What is there already, where the watch begins without a version."""
    over: bool = False

    def poll(self) -> list[Event]:
        if self.version < self.store.compacted:
            self.over = True
            return [{"type": "ERROR", "object": expired(self.version, self.store.compacted)}]
        events, self.first = self.first or [], None
        events += [event for change in self.store.since(self.version) for event in self._events(change)]
        self.version = self.store.version
        return events

    def bookmark(self) -> list[Event]:
        if not self.bookmarks or self.over:
            return []
        metadata = {"resourceVersion": str(self.version), "creationTimestamp": None}
        mark = {"kind": self.kind.name, "apiVersion": self.kind.group_version, "metadata": metadata}
        return [{"type": "BOOKMARK", "object": mark}]

    def _events(self, change: Change) -> list[Event]:
        if change.key.resource != self.kind.resource or self.namespace not in (None, change.key.namespace):
            return []
        was = change.before is not None and self.test(change.before)
        now = change.act != "delete" and self.test(change.after)
        if not was and not now:
            return []
        name = "ADDED" if now and not was else EVENTS[change.act] if now else "DELETED"
        value = change.after
        if change.act == "update" and not now and change.before is not None:
            # It left the selection: it goes as it was when it last belonged to it, under the new number.
            number = {"resourceVersion": str(change.version)}
            value = {**change.before, "metadata": {**change.before["metadata"], **number}}
        return [{"type": name, "object": shown(self.kind, value)}]
