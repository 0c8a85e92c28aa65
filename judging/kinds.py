"""The `data` of each kind of event in evidence version 2: every field that docs/evidence.md names and a figure or check needs.

Fields for the reader's sake may be missing, and more may stand there. Version 1 asked for less: its models, with what stands
in for what is missing, are in judging/records.py.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Shape(BaseModel):
    """What JSON holds as it stands: "1" is no number, and 1 is no bool."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class PlanRegistered(Shape):
    sha256: Sha256


class Phase(Shape):
    name: Literal["start", "steady", "baseline", "fault", "heal", "drain", "readback", "seal"]


class BooksClosed(Shape):
    node: str
    payments: int
    sha256: Sha256


class Baseline(Shape):
    from_ns: int
    to_ns: int


class Effect(Shape):
    down: list[str]
    cut: list[str]
    destroyed: list[str] = []
    damaged: list[str] = []
    impaired: list[str] = []


class Replaced(Shape):
    nodes: list[str]


class Restored(Shape):
    node: str
    timeline: int
    xid: int
    before_ns: int
    after_ns: int


class Intent(Shape):
    id: str
    name: str
    target: str
    args: dict[str, Any]
    effect: Effect


class Injected(Shape):
    id: str
    before_ns: int
    after_ns: int


class Check(Shape):
    subject: str
    side: Literal["victim", "bystander"]
    expected: str
    seen: str
    ok: bool


class Proof(Shape):
    id: str
    proved: bool
    checks: list[Check]


class Cell(Shape):
    source: str
    target: str
    ok: bool


class Reach(Shape):
    moment: Literal["before", "during", "after"]
    cells: list[Cell]


class Primary(Shape):
    node: str | None
    roles: dict[str, Any]


class LeaderKey(Shape):
    store: str
    leader: str | None
    seen_before_ns: int


class Override(Shape):
    place: str
    name: str
    value: str


class Durability(Shape):
    node: str
    settings: dict[str, Any]
    overrides: list[Override]


class Step(Shape):
    name: str
    role: Literal["detect", "decide", "promote", "reroute"] | None
    before_ns: int
    after_ns: int
    ok: bool


class Damage(Shape):
    node: str
    pages: list[Any]


class Until(Shape):
    condition: str
    within_s: float
    reached: bool
    waited_s: float


class HealStarted(Shape):
    id: str


class Healed(Shape):
    id: str
    ok: bool


class Load(Shape):
    origin: Literal["probe", "locust"]


class Authority(Shape):
    node: str


class ExpectedCopies(Shape):
    nodes: list[str]


class Keys(Shape):
    count: int
    sha256: Sha256


class ExemptKeys(Shape):
    observers: Keys
    ready: Keys


class Autopsy(Shape):
    node: str
    payments: int
    end_lsn: int | None


class EdgeStore(Shape):
    node: str
    payments: int
    synchronous: int


class DoorLog(Shape):
    payments: int
    dropped: int | None


class Line(Shape):
    source: str
    target: str
    bandwidth_kbps: int
    from_ns: int
    to_ns: int
    bytes: int
    dropped: int


class Lines(Shape):
    lines: list[Line]


class ByHand(Shape):
    act: str


KINDS: dict[str, type[Shape]] = {
    "plan_registered": PlanRegistered,
    "phase": Phase,
    "books_closed": BooksClosed,
    "baseline": Baseline,
    "intent": Intent,
    "injected": Injected,
    "proof": Proof,
    "reach": Reach,
    "primary": Primary,
    "leader_key": LeaderKey,
    "durability": Durability,
    "replaced": Replaced,
    "restored": Restored,
    "step": Step,
    "damage": Damage,
    "until": Until,
    "heal_started": HealStarted,
    "healed": Healed,
    "load_started": Load,
    "load_stopped": Load,
    "authority": Authority,
    "expected_copies": ExpectedCopies,
    "exempt_keys": ExemptKeys,
    "autopsy": Autopsy,
    "edge_store": EdgeStore,
    "door_log": DoorLog,
    "lines": Lines,
    "by_hand": ByHand,
}


def wrong(kind: str, data: dict[str, Any]) -> str | None:
    """What is not as the page says: the field and what was expected of it; None where all is, and of kinds that nothing needs."""
    try:
        if kind in KINDS:
            KINDS[kind].model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return None
