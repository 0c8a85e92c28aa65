"""A surge of customers: told by both verifiers alike, and no verdict where it was none, was not felt, or was over by itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmarks.agreement import compare
from harness.customers import Customers
from harness.surge import CustomersSurge
from harness.verification import verify
from judging.evidence import Load, Targets
from runtime.cluster import Cluster
from tests.forger import Forger
from tests.synthetic import SURGE_TIMES, FaultStory, Outage, Scenario, Step, write_run
from topologies.hybrid_cloud import hybrid_cloud

S = 1_000_000_000
RATE_PER_S = 16.0  # of payments, by the ledger: so the usual rate was a quarter
OPENED_S, BACK_S, HEALED_S, KBPS = 15.0, 22.0, 40.0, 1000
Lie = Callable[[Forger], None]


def story(**changed: Any) -> Scenario:
    """One front, dc1, and a spare one, dc2; both reach the core, dc3, by a narrow line."""
    surge = FaultStory(
        name="CustomersSurge", target="customers at the door", down=(), new="dc1-a", inject_s=0.2, outages=(Outage(3.5, BACK_S),),
        leader_gone_s=None, leader_new_s=None, heal_s=HEALED_S, steps=(Step("open dc2", "reroute", OPENED_S, 15.3),),
    )  # fmt: skip
    told: dict[str, Any] = {
        "drill": "front-surge", "ends_s": 75.0, "locust_rate_per_s": RATE_PER_S, "probe_interval_ms": 40,
        "targets": Targets(p99_back_s=30, basis={"p99_back_s": "a test"}),
        "asked": {"customer_rate_per_s": RATE_PER_S / Load().pay_share / SURGE_TIMES, "rate_min": 0.9},
        "until": (("service_restored", 120, True, 32.0),),
    }  # fmt: skip
    fault = replace(surge, **{name: changed.pop(name) for name in ("outages", "steps") if name in changed})
    return Scenario(**{**told, "faults": (fault,), **changed})


def surged(directory: Path, lie: Lie | None = None, **changed: Any) -> Path:
    run = write_run(directory, story(**changed))
    with Forger(run) as desk:
        desk.plan["topology"]["door"] = {"centers": ["dc1"], "closed": ["dc2"], "spread": True}
        for link in desk.plan["topology"]["links"]:
            if "dc3" in (link["source"], link["target"]):
                link["bandwidth_kbps"] = KBPS
        before_ns = desk.before_ns
        for second in range(2, 38, 2):
            use = (0.97, 0.01) if second < OPENED_S else (0.8, 0.75)
            lines = [line(before_ns + second * S, f"dc{n}", "dc3", use[n - 1]) for n in (1, 2)]
            lines += [line(before_ns + second * S, "dc3", f"dc{n}", 0.6 * use[n - 1]) for n in (1, 2)]
            at_ns = before_ns + (second + 2) * S
            event = {"seq": 0, "t_ns": at_ns, "wall": desk.wall(at_ns), "source": "host", "kind": "lines", "text": "lines"}
            desk.events.append(event | {"data": {"lines": lines}, "prev": ""})
        desk.events.sort(key=lambda one: int(one["t_ns"]))
        if lie is not None:
            lie(desk)
    return run


def line(from_ns: int, source: str, target: str, use: float) -> dict[str, Any]:
    carried = round(use * KBPS * 125 * 2)
    return {
        "source": source, "target": target, "bandwidth_kbps": KBPS, "from_ns": from_ns, "to_ns": from_ns + 2 * S,
        "bytes": carried, "dropped": 0,
    }  # fmt: skip


def both(directory: Path) -> dict[str, Any]:
    """What the judge says; the second verifier says the same."""
    judged, _, found = compare(directory)
    assert found == []
    return judged


def test_a_surge_that_another_front_carried_passes(tmp_path: Path) -> None:
    told = both(surged(tmp_path / "run"))
    assert (told["verdict"], told["reasons"]) == ("PASS", told["reasons"])
    assert BACK_S - 1 < told["measured"]["p99_back_s"] < BACK_S + 0.1
    interval = told["measured"]["intervals"]["p99_back_s"]
    assert interval["low"] <= told["measured"]["p99_back_s"] < interval["high"]
    assert told["reasons"][-1].startswith("Time until the 99th percentile was within the service level again")


def test_a_front_that_is_opened_while_some_still_get_through(tmp_path: Path) -> None:
    """The step ends the segment, though there was a success before it: once the judge took that one."""
    told = both(surged(tmp_path / "run", outages=(Outage(3.5, 10.0), Outage(11.0, BACK_S))))
    assert told["verdict"] == "PASS"
    assert told["measured"]["rto_first_success_s"] < OPENED_S
    assert sum(told["measured"]["phases"][name] for name in ("detect_s", "decide_s", "promote_s", "reroute_s")) == 15.3


def lines_of(desk: Forger) -> list[dict[str, Any]]:
    return [one for event in desk.kind("lines") for one in event["data"]["lines"]]


def no_surge(desk: Forger) -> None:
    for args in (desk.one("intent")["data"]["args"], desk.plan["body"][0]["args"]):
        args["times"] = 1


def half_the_rate(desk: Forger) -> None:
    desk.plan["load"]["customer_rate_per_s"] *= 2


def rate_sank(desk: Forger) -> None:
    """In the last seconds twice as much was asked for, by the plan."""
    desk.plan["load"]["shape"] = [[0, 1], [40.5, 1], [40.5, 2], [46.5, 2], [46.5, 1]]


def lines_were_not_full(desk: Forger) -> None:
    for one in lines_of(desk):
        one["bytes"] = min(one["bytes"], round(0.8 * KBPS * 125 * 2))


def nobody_counted_lines(desk: Forger) -> None:
    desk.drop_events(lambda event: event["kind"] == "lines")


def the_line_was_enough(desk: Forger) -> None:
    """Afterwards the two together carried no more than one can."""
    for one in lines_of(desk):
        if one["from_ns"] - desk.before_ns >= OPENED_S * S:
            one["bytes"] = round(0.45 * KBPS * 125 * 2)


def a_wider_line(desk: Forger) -> None:
    lines_of(desk)[0]["bytes"] = round(1.2 * KBPS * 125 * 2)


def another_line(desk: Forger) -> None:
    for link in desk.plan["topology"]["links"]:
        link["bandwidth_kbps"] = 2 * KBPS if link["bandwidth_kbps"] else None


def unproved(desk: Forger) -> None:
    desk.drop_events(lambda event: event["kind"] == "proof")


LIES: dict[Lie, str] = {
    no_surge: "expected customers at more than their usual rate; seen 1 times it",
    half_the_rate: "payments a second while it lasted",
    rate_sank: "payments a second at its end",
    lines_were_not_full: "the line of dc1 carried at most 80% of its bandwidth before",
    nobody_counted_lines: "the line of dc1 carried at most 0% of its bandwidth before",
    the_line_was_enough: "they would have been enough",
    a_wider_line: "carried 300000 bytes in 2.00 s; plan.json names 1000 kbit/s",
    another_line: "as a line of 1000 kbit/s; plan.json names 2000",
    unproved: "has no proof",
}


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_a_surge_that_was_none_is_no_verdict(lie: Lie, tmp_path: Path) -> None:
    told = both(surged(tmp_path / "run", lie))
    assert told["verdict"] == "INVALID"
    assert any(LIES[lie] in reason for reason in told["reasons"]), told["reasons"]


def test_a_surge_that_nobody_felt_is_no_verdict(tmp_path: Path) -> None:
    told = both(surged(tmp_path / "run", outages=()))
    assert told["verdict"] == "INVALID"
    assert any("customers did not feel it" in reason for reason in told["reasons"])


def test_service_that_came_back_before_anybody_did_anything_is_no_verdict(tmp_path: Path) -> None:
    told = both(surged(tmp_path / "run", steps=(Step("open dc2", "reroute", 30.0, 30.3),)))
    assert told["verdict"] == "INVALID"
    assert any("before customers were let in elsewhere" in reason for reason in told["reasons"])


@pytest.mark.parametrize(("target_s", "verdict"), [(20.0, "FAIL"), (32.0, "INVALID")])
def test_scale_out_that_did_nothing_does_not_pass(target_s: float, verdict: str, tmp_path: Path) -> None:
    """Customers wait until the surge is over: a miss where it was surely longer than the target, else nobody knows."""
    targets = Targets(p99_back_s=target_s, basis={"p99_back_s": "a test"})
    told = both(surged(tmp_path / "run", targets=targets, outages=(Outage(3.5, HEALED_S + 1),)))
    assert told["verdict"] == verdict
    assert "p99_back_s" not in told["measured"]
    assert any("it never was while it was watched" in reason for reason in told["reasons"])


@pytest.mark.parametrize("until_s", [BACK_S, HEALED_S + 1])
def test_both_verifiers_give_the_same_figures(until_s: float, tmp_path: Path) -> None:
    """Also of a surge from which nothing came back: then neither names the figure."""
    found = verify(surged(tmp_path / "run", outages=(Outage(3.5, until_s),)))
    assert (found.differences, found.alone) == ([], [])
    assert ("p99_back_s" in found.compared) == (until_s == BACK_S)


def test_p99_that_is_back_too_late_fails(tmp_path: Path) -> None:
    told = both(surged(tmp_path / "run", targets=Targets(p99_back_s=15, basis={"p99_back_s": "a test"})))
    assert told["verdict"] == "FAIL"


def test_one_payment_in_fifty_is_too_many_for_p99(tmp_path: Path) -> None:
    """Service is back as ever, which allows for one in twenty; the 99th percentile is not, as long as one in fifty is late."""
    run, until_s = surged(tmp_path / "run"), 32.0
    with Forger(run) as desk:
        since_ns, until_ns = (desk.before_ns + round(at_s * S) for at_s in (BACK_S, until_s))
        late = [row for row in desk.probe if since_ns < int(row["due_ns"]) < until_ns][::50]
        desk.answer(late, "503")
        desk.unbook({row["key"] for row in late})
        desk.door_says({row["key"] for row in late}, 503, "--")
    told = both(run)
    assert told["faults"][0]["rto_s"] < BACK_S + 1
    assert BACK_S + 4 < told["measured"]["p99_back_s"] < until_s


def test_nothing_is_told_of_p99_where_nobody_asked(tmp_path: Path) -> None:
    told = both(surged(tmp_path / "run", targets=Targets(rto_s=40, basis={"rto_s": "a test"})))
    assert told["verdict"] == "PASS"
    assert "p99_back_s" not in json.dumps(told)


def test_a_surge_is_proved_by_the_rate_that_was_made() -> None:
    turned: list[float] = []
    customers = cast(
        Customers,
        SimpleNamespace(
            load=Load(customer_rate_per_s=10, rate_min=0.9), rate=lambda: 37.0, turn=turned.append, alive=lambda: None
        ),
    )
    surge, cluster = CustomersSurge(customers, times=4), cast(Cluster, None)
    surge.inject(cluster)
    proof = surge.proof(cluster)
    assert proof.proved
    assert proof.checks[0].expected == "at least 36.0 acts a second"
    surge.heal(cluster)
    assert turned == [4, 1]
    assert surge.effect(hybrid_cloud()).to_json() == {"down": [], "cut": []}
