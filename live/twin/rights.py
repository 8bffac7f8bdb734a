"""Who may do what on the fake API: roles as a table."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Right:
    """Leave to use some verbs on some resources, as a rule of a Role; "*" stands for all."""

    verbs: tuple[str, ...]
    group: str
    resources: tuple[str, ...]
    """Plural, with `/scale` and the like behind where it is the subresource."""
    names: tuple[str, ...] = ()
    """All where empty. Where not, list and create are not granted, for they name nothing."""
    namespace: str = "*"

    def allows(self, verb: str, group: str, resource: str, namespace: str, name: str) -> bool:
        return (
            _in(verb, self.verbs)
            and self.group in ("*", group)
            and _in(resource, self.resources)
            and self.namespace in ("*", namespace)
            and (not self.names or name in self.names)
        )


def _in(word: str, words: tuple[str, ...]) -> bool:
    return "*" in words or word in words


EVERYTHING = (Right(("*",), "*", ("*",)),)


@dataclass(frozen=True, slots=True)
class Users:
    """`tokens` names users by what they show; `rights` says what each may do. Without a token one is admin."""

    tokens: Mapping[str, str] = field(default_factory=dict)
    rights: Mapping[str, tuple[Right, ...]] = field(default_factory=dict)

    def who(self, token: str | None) -> str | None:
        """The user of a token; None for one that nobody gave out."""
        return "admin" if token is None else self.tokens.get(token)

    def may(self, user: str, verb: str, group: str, resource: str, namespace: str, name: str) -> bool:
        rights = EVERYTHING if user == "admin" else self.rights.get(user, ())
        return any(right.allows(verb, group, resource, namespace, name) for right in rights)
