"""The status page: what was read, what was decided and why, what went wrong, on one page that needs nothing else."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

from live.board import Board, Change, Fault, is_fault
from live.config import kinds
from live.tally import Counted
from policies.decision import Reason
from policies.loop import Action, Turn
from policies.observation import PoolReading

if TYPE_CHECKING:
    from jinja2 import Template

DASH = "\N{EN DASH}"
MODES = {
    "active": "scales",
    "shadow": "shadow: decides and writes nothing",
    "recommend": "recommends and does not scale",
}


@dataclass(frozen=True, slots=True)
class Tile:
    label: str
    value: str
    detail: str = ""
    tone: str = ""
    """`good`, `bad` or `open`."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step from the raw wish to what was done."""

    by: str
    to: str
    why: str
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Past:
    when: str
    ago: str
    steps: Sequence[Step]


@dataclass(frozen=True, slots=True)
class Row:
    """A pool, as words."""

    pool: str
    wanted: str
    target: str
    moves: str
    """`up`, `down` or nothing: where the target differs from what is wanted."""
    ready: str
    starting: str
    draining: str
    bounds: str
    queued: str
    in_service: str
    age: str
    stale: bool
    steps: Sequence[Step]
    past: Sequence[Past]
    failed: bool


def page(board: Board, now_s: float, still: bool = False) -> str:
    """The page as HTML. It asks to be loaded again each tick, unless it is to stay still for a reader."""
    turn = board.turn
    return _template().render(
        board=board,
        mode=MODES[board.config.mode] + (" (dry run)" if board.dry_run else ""),
        leads=_leads(board),
        still=still,
        refresh_s=max(1, round(min(board.refresh_s or board.config.tick_s, 60.0))),
        now=_moment(now_s),
        looked=None if turn is None else duration(max(now_s - turn.observation.time_s, 0.0)),
        up=duration(max(now_s - board.started_s, 0.0)),
        tiles=list(_tiles(board, turn)),
        policy=kinds(board.config.policy),
        faults=[_fault(fault, now_s) for fault in board.faults()],
        rows=[] if turn is None else _rows(board, turn, now_s),
    )


def duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min 20 s`, `5 h 10 min`, `3 d 4 h`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    for unit_s, big, small_s, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= unit_s:
            rest = int(seconds % unit_s // small_s)
            return f"{int(seconds // unit_s)} {big}" + (f" {rest} {small}" if rest else "")
    return DASH


@cache
def _template() -> "Template":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("live", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template("status.html.j2")


def _leads(board: Board) -> Tile:
    state = board.leadership
    if not state.needed:
        return Tile("leader", "needs no leader", f"as {state.identity}")
    if state.held:
        return Tile("leader", "leads", f"as {state.identity}", "good")
    if state.holder:
        return Tile("leader", "follows", f"{state.holder} leads; this is {state.identity}", "open")
    return Tile("leader", "no leader", f"this is {state.identity}", "bad")


def _tiles(board: Board, turn: Turn | None) -> Iterator[Tile]:
    pools = turn.observation.pools.values() if turn else ()
    yield Tile("replicas wanted", _sum(p.wanted for p in pools), f"ready {_sum(p.ready for p in pools)}")
    yield Tile(
        "requests waiting",
        _sum(p.total.queued for p in pools),
        f"in service {_sum(p.total.in_service for p in pools)}",
    )
    seen, shadow = board.tally.seen, board.tally.shadow
    yield Tile("cost since start", f"${seen.cost_usd:,.2f}", "of the replicas wanted")
    yield from _objective(board, seen, "objective met")
    if board.config.mode != "active":
        yield Tile("the policy's cost", f"${shadow.cost_usd:,.2f}", _cheaper(seen, shadow))
        yield from _objective(board, shadow, "the policy would meet")


def _objective(board: Board, counted: Counted, label: str) -> Iterator[Tile]:
    slo = board.config.slo
    if slo is None:
        return
    detail = f"of {counted.requests:,.0f} requests within {slo.response_s:g} s; objective {slo.quantile:.4g}"
    least, most = counted.share, counted.share_at_most
    if least is None or most is None:
        yield Tile(label, DASH, "no response time is known")
    elif most - least < 0.0005:
        yield Tile(label, f"{least:.1%}", detail, "good" if least >= slo.quantile else "bad")
    else:
        tone = "good" if least >= slo.quantile else "bad" if most < slo.quantile else "open"
        yield Tile(label, f"{least:.1%} to {most:.1%}", detail, tone)


def _cheaper(seen: Counted, shadow: Counted) -> str:
    if not seen.cost_usd:
        return "had it been obeyed since start"
    return f"{shadow.cost_usd / seen.cost_usd - 1:+.1%} against what was wanted"


def _rows(board: Board, turn: Turn, now_s: float) -> list[Row]:
    """Those that something is wrong with first, then those that change."""
    changes = board.changes()
    pools = turn.observation.pools
    rows = [_row(board, turn, pool, changes.get(pool, ()), now_s) for pool in pools]
    return sorted(rows, key=lambda row: (not row.failed, not row.stale, not row.moves))


def _row(board: Board, turn: Turn, pool: str, changes: Sequence[Change], now_s: float) -> Row:
    reading, reason = turn.observation.pools[pool], turn.decision.reasons.get(pool)
    action, bounds = turn.actions.get(pool), board.tally.pools[pool]
    return Row(
        pool=pool,
        wanted=_number(reading.wanted),
        target=DASH if reason is None else str(reason.final),
        moves=_moves(reading, reason),
        ready=_number(reading.ready),
        starting=_number(reading.starting),
        draining=_number(reading.draining),
        bounds=f"{bounds.at_least} to {bounds.at_most}",
        queued=_number(reading.total.queued),
        in_service=_number(reading.total.in_service),
        age=DASH if reading.age_s is None else duration(reading.age_s),
        stale=reading.age_s is None and board.has_readings(pool, reading),
        steps=list(_steps(reason, action, turn.decision.kept.get(pool))),
        past=[_past(change, now_s) for change in changes],
        failed=is_fault(action),
    )


def _moves(reading: PoolReading, reason: Reason | None) -> str:
    if reason is None or reading.wanted is None or reason.final == reading.wanted:
        return ""
    return "up" if reason.final > reading.wanted else "down"


def _steps(reason: Reason | None, action: Action | None, kept: str | None) -> Iterator[Step]:
    if reason is None:
        yield Step("keeps", "", kept or "the policy says nothing of this pool")
    else:
        yield Step("wish", str(reason.wish), reason.because)
        yield from (Step(x.by, str(x.after), x.why, "open") for x in reason.limits)
    if action is None:
        return
    if action.error is None:
        yield Step("written", _number(action.after), f"from {_number(action.before)}", "good")
    else:
        yield Step("not written", "", action.error, "bad" if is_fault(action) else "open")


def _past(change: Change, now_s: float) -> Past:
    ago = duration(max(now_s - change.time_s, 0.0))
    return Past(_moment(change.time_s), ago, list(_steps(change.reason, change.action, None)))


def _fault(fault: Fault, now_s: float) -> tuple[str, str, str]:
    """Where, what, and when."""
    last = duration(max(now_s - fault.last_s, 0.0))
    often = "once" if fault.times == 1 else f"{fault.times:,} times since {_moment(fault.first_s)}"
    return fault.where, fault.message, f"{last} ago, {often}"


def _sum(values: "Iterator[float | None] | Iterator[int | None]") -> str:
    """Unknown where any is known not to be known; what is known is said as a lower bound."""
    found = list(values)
    known = [value for value in found if value is not None]
    if not known:
        return DASH
    return _number(sum(known)) if len(known) == len(found) else f"≥ {_number(sum(known))}"


def _number(value: float | None) -> str:
    return DASH if value is None else f"{value:,.0f}" if value == round(value) else f"{value:,.1f}"


def _moment(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
