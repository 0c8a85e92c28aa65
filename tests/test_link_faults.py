"""Links that refuse or carry worse: what they are by values, how they are read back, and what judges make of the proof."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from toxiproxy import api

from faults import build
from faults.link_blackholed import LinkBlackholed
from faults.link_degraded import LinkDegraded
from faults.link_refused import LinkRefused
from harness.handover import recompute
from harness.hold import fault_from_words
from judging.crosschecks import contradictions
from judging.errors import BadInput
from judging.evidence import Evidence
from judging.records import read
from runtime import links, toxics
from runtime.addresses import Addresses
from runtime.cluster import Cluster
from runtime.links import LinkError, Passed, Proxy
from runtime.toxics import Toxics
from tests.forger import Forger
from tests.synthetic import SCENARIOS, write_run
from topologies.hybrid_cloud import hybrid_cloud
from topologies.two_region_three_center import two_region_three_center
from verifying import verifier

TOPOLOGY = two_region_three_center()


# --- What they are ----------------------------------------------------------------------------------------------------
def test_a_degraded_link_is_impaired_and_a_refusing_one_is_cut() -> None:
    worse, refusing = LinkDegraded("dc1->dc3", loss_percent=5), LinkRefused("dc1<->dc2")
    assert worse.effect(TOPOLOGY).to_json() == {"down": [], "cut": [], "impaired": ["dc1->dc3"]}
    assert refusing.effect(TOPOLOGY).to_json() == {"down": [], "cut": ["dc1->dc2", "dc2->dc1"]}
    for one in (worse, refusing):
        again = build(type(one).__name__, json.loads(json.dumps(one.arguments)))
        assert (again.arguments, again.undo()) == (one.arguments, one.undo())


def test_a_star_is_every_center() -> None:
    assert LinkBlackholed("*->dc3").paths(TOPOLOGY) == ("dc1->dc3", "dc2->dc3")
    assert sorted(LinkBlackholed("dc3<->*").paths(TOPOLOGY)) == ["dc1->dc3", "dc2->dc3", "dc3->dc1", "dc3->dc2"]
    assert sorted(LinkRefused("*<->*").effect(TOPOLOGY).cut) == sorted(str(link) for link in TOPOLOGY.links)
    for path in ("dc1<->dc9", "dc1", "dc9->*", "->"):
        with pytest.raises(ValueError, match=r"no link .*; expected one of dc1->dc2, .*, or both ways as dc1<->dc2; \* is every"):
            LinkBlackholed(path).effect(TOPOLOGY)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"latency_ms": 301}, "expected latency_ms as a whole number from 0 to 300; seen 301"),
        ({"latency_ms": 0.5}, "expected latency_ms as a whole number from 0 to 300; seen 0.5"),
        ({"latency_ms": True}, "seen True"),
        ({"latency_ms": 10, "jitter_ms": 11}, "expected jitter_ms as a whole number from 0 to 10; seen 11"),
        ({"loss_percent": 51}, "expected loss_percent as a whole number from 0 to 50; seen 51"),
        ({"bandwidth_kbps": 63}, "expected bandwidth_kbps as a whole number of 64 or more; seen 63"),
        ({"latency_ms": 0}, "expected a latency_ms, a loss_percent or a bandwidth_kbps; seen none"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_happens(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        LinkDegraded("dc1<->dc2", **arguments)


def test_a_line_becomes_no_wider() -> None:
    narrow = next(str(link) for link in hybrid_cloud().links if link.bandwidth_kbps is not None)
    with pytest.raises(ValueError, match="expected bandwidth_kbps less than the"):
        LinkDegraded(narrow, bandwidth_kbps=10**6).effect(hybrid_cloud())
    LinkDegraded(narrow, bandwidth_kbps=64).effect(hybrid_cloud())


def test_by_hand_its_arguments_are_set_by_name() -> None:
    fault = fault_from_words("LinkDegraded", "dc1->dc3", {"loss_percent": "5", "latency_ms": "0"})
    assert fault.arguments == {"path": "dc1->dc3", "latency_ms": 0, "jitter_ms": 0, "loss_percent": 5, "bandwidth_kbps": 0}
    for given, told in (
        ({"loss": "5"}, "no argument 'loss'; expected latency_ms, jitter_ms, loss_percent, bandwidth_kbps"),
        ({"loss_percent": "5.5"}, "expected loss_percent as a whole number; seen '5.5'"),
        ({"loss_percent": "99"}, "from 0 to 50; seen 99"),
    ):
        with pytest.raises(BadInput, match=told):
            fault_from_words("LinkDegraded", "dc1->dc3", given)
    with pytest.raises(BadInput, match="expected nothing: its target says all"):
        fault_from_words("NodeKilled", "dc1-a", {"signal": "9"})


# --- How they are read back -------------------------------------------------------------------------------------------
class Line:
    """A cluster whose links say what they are told to say."""

    topology = TOPOLOGY

    def __init__(
        self,
        streams: list[tuple[int, int] | None] | None = None,
        trip_s: float | None = None,
        counts: tuple[int, int] | None = None,
        kbps: float | None = None,
    ) -> None:
        self.streams, self.trip_s, self.counts, self.kbps = streams or [], trip_s, counts, kbps

    def slowed(self, _path: str) -> list[tuple[int, int] | None]:
        return self.streams

    def round_trip_s(self, _source: str, _target: str) -> float | None:
        return self.trip_s

    def thinned(self, _path: str) -> tuple[int, int] | None:
        return self.counts

    def refused(self, _path: str) -> int | None:
        return None if self.counts is None else self.counts[0]

    def passed(self, _path: str) -> Passed:
        return Passed(self.kbps, 0, 0)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("faults.link_degraded.SEEN_WITHIN_S", 0.05)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("line", "seen", "ok"),
    [
        (Line([(100, 20)] * 2, 0.1109), "100 ms ± 20 ms more on 2 of 2 streams, round trip 110 ms", True),  # 80 + 2 × 15
        (Line([(100, 20)] * 2, 0.109), "100 ms ± 20 ms more on 2 of 2 streams, round trip 109 ms", False),
        (Line([(100, 20), None], 0.2), "100 ms ± 20 ms more on 1 of 2 streams, round trip 200 ms", False),
        (Line([], 0.2), "100 ms ± 20 ms more on 0 of 0 streams, round trip 200 ms", False),
        (Line([(100, 20)], None), "100 ms ± 20 ms more on 1 of 1 streams, no answer", False),
    ],
)
def test_a_delay_is_on_every_stream_and_is_felt(line: Line, seen: str, ok: bool) -> None:
    (check,) = LinkDegraded("dc1->dc3", jitter_ms=20).proof(cast(Cluster, line)).checks
    assert (check.subject, check.expected, check.seen, check.ok) == ("dc1->dc3", "100 ms ± 20 ms more", seen, ok)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("line", "seen", "ok"),
    [
        (Line(counts=(5, 100)), "5 % dropped: 5 of 100 packets", True),
        (Line(counts=(0, 100)), "5 % dropped: 0 of 100 packets", False),
        (Line(counts=(4, 99)), "5 % dropped: 4 of 99 packets", False),
        (Line(counts=None), "no rule", False),
    ],
)
def test_a_loss_is_counted(line: Line, seen: str, ok: bool) -> None:
    (check,) = LinkDegraded("dc1->dc3", latency_ms=0, loss_percent=5).proof(cast(Cluster, line)).checks
    assert (check.seen, check.ok) == (seen, ok)


@pytest.mark.parametrize(
    ("kbps", "seen", "ok"), [(8000.0, "8000 kbit/s", True), (None, "no limit", False), (9000.0, "9000 kbit/s", False)]
)
def test_a_bandwidth_is_the_kernels_word(kbps: float | None, seen: str, ok: bool) -> None:
    (check,) = LinkDegraded("dc1->dc3", latency_ms=0, bandwidth_kbps=8000).proof(cast(Cluster, Line(kbps=kbps))).checks
    assert (check.seen, check.ok) == (seen, ok)


def test_a_refusal_is_counted() -> None:
    checks = LinkRefused("dc1<->dc2").proof(cast(Cluster, Line(counts=(3, 3)))).checks
    assert [(check.subject, check.seen, check.ok) for check in checks] == [
        ("dc1->dc2", "3 packets refused", True),
        ("dc2->dc1", "3 packets refused", True),
    ]


def test_rules_of_one_path_have_tables_of_their_own() -> None:
    names = [center.name for center in TOPOLOGY.centers]
    addresses = Addresses(TOPOLOGY, {name: IPv4Network(f"198.18.{at}.0/24") for at, name in enumerate([*names, "door"])})
    lossy, refusing = links.loss_script(addresses, "dc1->dc3", 5), links.refuse_script(addresses, "dc1->dc3")
    assert "numgen random mod 100 < 5 counter drop" in lossy
    assert "reject with tcp reset" in refusing
    kinds = (links.CUT_TABLE, links.LOSS_TABLE, links.REFUSAL_TABLE)
    assert len({links.cut_table("dc1", "dc3", kind=kind) for kind in kinds}) == 3
    own = addresses.link(("dc1", "dc3"), "dc3")
    assert own in lossy  # what leaves towards dc3
    assert "tbf rate 8000kbit" in links.shape_script(addresses, "dc1->dc3", 8000)
    assert "qdisc del" in links.shape_script(addresses, "dc1->dc3", None)


def test_each_rule_of_a_table_has_its_count() -> None:
    ruleset = {
        "nftables": [
            {"table": {"name": "mine"}},
            {"rule": {"table": "mine", "expr": [{"counter": {"packets": 412}}]}},
            {"rule": {"table": "mine", "expr": [{"match": {}}, {"counter": {"packets": 23}}]}},
            {"rule": {"table": "other", "expr": [{"counter": {"packets": 7}}]}},
        ]
    }
    assert links.counted(ruleset, "mine") == [412, 23]
    assert links.counted(ruleset, "none") is None


# --- Toxiproxy's client -----------------------------------------------------------------------------------------------
class Server:
    """A Toxiproxy that keeps what it is told, spoken to by the client as it is."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, dict[str, Any]]] = {}
        self.asked: list[tuple[str, str, float | None]] = []
        self.deaf = False

    def request(self, method: str, url: str, *, timeout: float, json: Any = None, **rest: Any) -> Any:
        assert not any(rest.values())
        self.asked.append((method, url, timeout))
        path = url.split(":8474")[1]
        if path == "/populate":
            self.kept |= {} if self.deaf else {made["name"]: {} for made in json}
            return answer({})
        if path == "/proxies":
            return answer({key: {"name": key, "upstream": "", "enabled": True, "listen": ""} for key in self.kept})
        _, _, name, _, *named = path.split("/")
        if method == "POST" and named:
            self.kept[name][named[0]] |= json
        elif method == "POST":
            self.kept[name][json["name"]] = json
        elif method == "DELETE":
            del self.kept[name][named[0]]
        return answer(list(self.kept[name].values()) if method == "GET" else {})


def answer(body: Any, status: int = 200) -> Any:
    return SimpleNamespace(status_code=status, content=b"x", text=json.dumps(body), json=lambda: body)


PROXIES = [
    Proxy("dc1->dc3-a:5432", "dc1", "dc3", "198.18.0.130", 5432, 20000, "198.18.2.10:5432"),
    Proxy("dc3->dc1-a:5432", "dc3", "dc1", "198.18.2.130", 5432, 20001, "198.18.0.10:5432"),
]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    found = Server()
    monkeypatch.setattr(api.requests, "session", found)
    return found


def test_what_goes_one_way_is_slowed_in_both_kinds_of_proxies(server: Server) -> None:
    one = Toxics("198.18.0.3")
    one.populate(PROXIES, {("dc1", "dc3"): 15, ("dc3", "dc1"): 15})
    for _ in range(2):  # safe to run again
        one.slow(PROXIES, "dc1->dc3", 100, 20)
    added = {name: sorted(kept) for name, kept in server.kept.items()}
    assert added == {
        "dc1->dc3-a:5432": ["base_downstream", "base_upstream", "drillbook_added_upstream"],
        "dc3->dc1-a:5432": ["base_downstream", "base_upstream", "drillbook_added_downstream"],
    }
    assert one.slowed(PROXIES, "dc1->dc3") == [(100, 20), (100, 20)]
    assert one.slowed(PROXIES, "dc3->dc1") == [None, None]
    for _ in range(2):
        one.unslow(PROXIES, "dc1->dc3")
    assert one.slowed(PROXIES, "dc1->dc3") == [None, None]
    assert {url.split(":8474")[0] for _, url, _ in server.asked} == {"http://198.18.0.3"}
    assert {timeout for _, _, timeout in server.asked} == {toxics.TIMEOUT_S}


def test_a_base_latency_is_changed_and_read_back(server: Server) -> None:
    one = Toxics("198.18.0.3")
    one.populate(PROXIES, {("dc1", "dc3"): 15, ("dc3", "dc1"): 0})
    one.set_latency(PROXIES, {("dc1", "dc3"): 300, ("dc3", "dc1"): 1})
    assert server.kept["dc1->dc3-a:5432"]["base_upstream"]["attributes"]["latency"] == 300
    assert server.kept["dc3->dc1-a:5432"]["base_upstream"]["attributes"]["latency"] == 1


def test_a_proxy_that_is_not_there_afterwards_is_told(server: Server) -> None:
    server.deaf = True
    with pytest.raises(LinkError, match=r"expected 2 proxies at 198\.18\.0\.3; missing dc1->dc3-a:5432"):
        Toxics("198.18.0.3").populate(PROXIES, {})


@pytest.mark.parametrize("status", [400, 404, 409, 500, 503])
def test_every_error_status_is_an_error(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing = SimpleNamespace(request=lambda *_, **__: answer({"error": "no"}, status))
    monkeypatch.setattr(api.requests, "session", refusing)
    with pytest.raises(LinkError, match=rf"refused GET http://198\.18\.0\.3:8474/version: {status}"):
        Toxics("198.18.0.3").version()


# --- What judges make of the proof ------------------------------------------------------------------------------------
def rules(directory: Path) -> set[str]:
    """By the judge; the second verifier has to find the same."""
    first = {one.rule for one in contradictions(read(Evidence(directory)))}
    second = {doubt.partition(":")[0] for doubt in verifier.verify(directory)["doubts"] if "_" in doubt.partition(":")[0]}
    assert first == second
    return first


def victims(run: Forger) -> list[dict[str, Any]]:
    return [check for check in run.kind("proof")[0]["data"]["checks"] if check["side"] == "victim"]


def test_a_degraded_link_contradicts_nothing(tmp_path: Path) -> None:
    write_run(tmp_path, SCENARIOS["degraded"])
    assert rules(tmp_path) == set()


@pytest.mark.parametrize(
    ("expected", "seen"),
    [
        ("100 ms ± 20 ms more", "100 ms ± 20 ms more on 11 of 12 streams, round trip 161 ms"),
        ("100 ms ± 20 ms more", "100 ms ± 20 ms more on 0 of 0 streams, round trip 161 ms"),
        ("100 ms ± 20 ms more", "100 ms ± 20 ms more on 12 of 12 streams, round trip 109 ms"),
        ("100 ms ± 20 ms more", "100 ms ± 20 ms more: 23 of 412 packets"),
        ("5 % dropped", "5 % dropped: 0 of 412 packets"),
        ("5 % dropped", "5 % dropped: 412 of 412 packets"),
        ("5 % dropped", "5 % dropped: 60 of 412 packets"),
        ("5 % dropped", "5 % dropped: 4 of 80 packets"),  # too few to tell a share
        ("5 % dropped", f"5 % dropped: 5 of 1{'0' * 5000} packets"),
        ("100 ms ± 20 ms more", "100 ms ± 20 ms more on ١ of ١ streams, round trip 161 ms"),
        ("100 ms ± 20 ms more", "100 ms ± 20 ms more on 12 of 12 streams, round trip 161 ms\n"),
        ("8000 kbit/s", "no limit"),
    ],
)
def test_a_proof_of_less_than_was_said_is_none(tmp_path: Path, expected: str, seen: str) -> None:
    write_run(tmp_path, SCENARIOS["degraded"])
    with Forger(tmp_path) as run:
        next(check for check in victims(run) if check["expected"] == expected)["seen"] = seen
    assert rules(tmp_path) == {"proof_is_of_its_kind"}


def test_one_of_several_degradations_is_no_proof_of_the_others(tmp_path: Path) -> None:
    write_run(tmp_path, SCENARIOS["degraded"])
    with Forger(tmp_path) as run:
        data = run.kind("proof")[0]["data"]
        data["checks"] = [
            check for check in data["checks"] if check["expected"] != "5 % dropped" or check["subject"] != "dc3->dc1"
        ]
    assert rules(tmp_path) == {"proof_is_of_its_kind"}


@pytest.mark.parametrize("loss", [0.05, "5", True, -5, 100, None])
def test_arguments_that_are_none_prove_nothing(tmp_path: Path, loss: Any) -> None:
    write_run(tmp_path, SCENARIOS["degraded"])
    with Forger(tmp_path) as run:
        run.kind("intent")[0]["data"]["args"]["loss_percent"] = loss
    assert "proof_is_of_its_kind" in rules(tmp_path)


def test_who_is_impaired_follows_from_the_target(tmp_path: Path) -> None:
    write_run(tmp_path, SCENARIOS["degraded"])
    with Forger(tmp_path) as run:
        run.kind("intent")[0]["data"]["effect"]["impaired"] = ["dc1->dc3"]
    assert rules(tmp_path) == {"effect_follows_from_the_target"}


@pytest.mark.parametrize(
    ("target", "paths", "ok"),
    [
        ("*<->dc3", ("dc1->dc3", "dc2->dc3", "dc3->dc1", "dc3->dc2"), True),
        ("*->dc3", ("dc1->dc3", "dc2->dc3"), True),
        ("*<->dc3", ("dc1->dc3", "dc3->dc1"), False),
        ("*<->*", ("dc1->dc3", "dc3->dc1"), False),
    ],
)
def test_a_star_is_every_center_to_judges_too(tmp_path: Path, target: str, paths: tuple[str, ...], ok: bool) -> None:
    story = SCENARIOS["degraded"]
    write_run(tmp_path, replace(story, faults=(replace(story.faults[0], target=target, impaired=paths),)))
    assert rules(tmp_path) == (set() if ok else {"effect_follows_from_the_target"})


@pytest.mark.parametrize("target", ["*->nowhere", "dc1<->dc9", "dc1", "*<->*->*"])
def test_a_link_that_the_plan_does_not_have_is_no_target(tmp_path: Path, target: str) -> None:
    story = SCENARIOS["degraded"]
    write_run(tmp_path, replace(story, faults=(replace(story.faults[0], target=target),)))
    assert rules(tmp_path) == {"effect_follows_from_the_target"}


@pytest.mark.parametrize("latency", [None, "15"])
def test_a_plan_that_does_not_tell_a_latency_ends_in_a_doubt(tmp_path: Path, latency: Any) -> None:
    run = write_run(tmp_path / "run", SCENARIOS["degraded"])
    plan = json.loads((run / "plan.json").read_text())
    for link in plan["topology"]["links"]:
        link["latency_ms"] = latency
    (run / "plan.json").write_text(json.dumps(plan))
    assert verifier.verify(run)["verdict"] == "INVALID"
    _, verdict, _ = recompute(run)
    assert verdict.verdict == "INVALID"


def test_a_proof_that_was_written_after_the_heal_is_none(tmp_path: Path) -> None:
    write_run(tmp_path, SCENARIOS["degraded"])
    with Forger(tmp_path) as run:
        tidy = copy.deepcopy(run.kind("proof")[0])
        for check in victims(run):
            check["seen"] = "all as it should be"
        healed = run.kind("healed")[0]
        tidy |= {"t_ns": healed["t_ns"], "wall": healed["wall"]}
        run.events.insert(run.events.index(healed) + 1, tidy)
    assert "proof_is_of_its_kind" in rules(tmp_path)


def test_every_path_is_healed_though_one_is_not() -> None:
    healed: list[str] = []

    def undegrade(path: str) -> None:
        healed.append(path)
        if path == "dc1->dc2":
            raise LinkError("no answer")

    cluster = SimpleNamespace(topology=TOPOLOGY, undegrade=undegrade)
    with pytest.raises(LinkError, match="no answer"):
        LinkDegraded("*<->*").heal(cast(Cluster, cluster))
    assert sorted(healed) == sorted(str(link) for link in TOPOLOGY.links)
