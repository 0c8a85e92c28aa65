"""Lines that carry what they name and no more: what their kernels are told and answer, and (with Docker) what really passes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from harness.hold import attach
from reports.topology import Moment, topology_chart
from reports.words import words
from runtime import links
from runtime.cluster import Cluster
from tests.laboratory import drillbook
from tests.test_managers import addresses_of
from topologies.hybrid_cloud import hybrid_cloud
from topologies.two_region_three_center import two_region_three_center

KBPS = 400
PAIR = ("private", "public-1")


def test_each_way_is_shaped_where_it_leaves_the_link() -> None:
    script = links.provision_script(addresses_of(hybrid_cloud(front_bandwidth_kbps=KBPS)), PAIR, toxiproxy=False)
    assert script.count(f"tc qdisc replace dev $dev root tbf rate {KBPS}kbit burst 3200 latency 200ms") == 2
    wide = links.provision_script(addresses_of(two_region_three_center()), ("dc1", "dc2"), toxiproxy=False)
    assert "tc " not in wide


def test_a_wide_line_lets_more_pass_at_once() -> None:
    assert links.burst_bytes(64) == 3200
    assert links.burst_bytes(100_000) == 62_500


def kernel(**told: Any) -> str:
    return json.dumps([{"kind": "tbf", "root": True, "options": {"rate": 50_000, "burst": 3200, "lat": 200000}, **told}])


def test_what_passed_is_the_kernels_own_count() -> None:
    assert links.passed(kernel(bytes=1234, drops=5)) == links.Passed(KBPS, 1234, 5)
    assert links.passed('[{"kind":"noqueue","root":true,"options":{}}]').kbps is None
    with pytest.raises(links.LinkError, match="expected what a link's kernel keeps and has passed"):
        links.passed("Cannot open network namespace")


@pytest.mark.parametrize(("kbps", "told"), [(KBPS * 2, "seen 400 kbit/s"), (KBPS // 2, "seen 400 kbit/s")])
def test_a_line_of_another_width_is_refused(kbps: int, told: str) -> None:
    seen = links.passed(kernel(bytes=0, drops=0))
    links.shaped_as_named("public-1->private", KBPS, seen)
    with pytest.raises(links.LinkError, match=rf"link public-1->private: expected .* {kbps} kbit/s .*{told}"):
        links.shaped_as_named("public-1->private", kbps, seen)


def test_a_line_that_nothing_shapes_is_refused() -> None:
    with pytest.raises(links.LinkError, match="seen no limit"):
        links.shaped_as_named("public-1->private", KBPS, links.Passed(None, 0, 0))


@pytest.mark.parametrize("wrong", [0, -3, 0.5, 63, 1_000_001, "wide"])
def test_a_line_that_cant_be_is_refused_in_one_line(wrong: object) -> None:
    with pytest.raises(ValueError, match="expected") as refused:
        hybrid_cloud(front_bandwidth_kbps=wrong)
    assert "\n" not in str(refused.value)
    assert str(wrong) in str(refused.value)


def test_the_report_draws_what_each_line_carries() -> None:
    """Inside the picture, the outermost line's too; where nothing is narrow, nothing of it."""
    moment = Moment("before", "", 0.0)
    drawn = str(topology_chart(hybrid_cloud().to_json(), moment, words(), salt="a", label="lines"))
    found = re.findall(r'x="([\d.]+)"[^>]*>200 kbit/s<', drawn)
    width = float(re.findall(r'viewBox="0 0 (\d+)', drawn)[0])
    assert len(found) == 3
    assert max(map(float, found)) < width - 50
    assert "kbit" not in str(topology_chart(two_region_three_center().to_json(), moment, words(), salt="a", label="wide"))


# --- What passes ------------------------------------------------------------------------------------------------------
SECONDS = 6
PORT = 9754
# Four times what the line names; the receiver says how many bytes of payload came between the first packet and the last.
SEND = f"""
import socket, time
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range({SECONDS * KBPS * 4 * 125 // 1400}):
    one.sendto(bytes(1400), ("private-haproxy", {PORT})); time.sleep(1400 / {KBPS * 4 * 125})
"""
HEAR = f"""
import socket, time
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); one.bind(("", {PORT})); one.settimeout({SECONDS * 3})
one.recv(2000); began, came = time.monotonic(), 0
try:
    while True:
        came += len(one.recv(2000)); last = time.monotonic(); one.settimeout(2)
except TimeoutError:
    print(came * 8 / 1000 / (last - began))
"""
# Four connections through the proxy at once, each asking for the same page again and again.
FETCH = f"""
import http.client, threading, time
came, until = [], time.monotonic() + {SECONDS}
def fetch():
    while time.monotonic() < until:
        try:
            one = http.client.HTTPConnection("private-bank", 8080, timeout={SECONDS}); one.request("GET", "/accounts")
            answer = one.getresponse()
            while time.monotonic() < until and (part := answer.read(512)):
                came.append(len(part))
            one.close()
        except OSError:
            pass
threads = [threading.Thread(target=fetch) for _ in range(4)]
[thread.start() for thread in threads]; [thread.join() for thread in threads]
print(sum(came) * 8 / 1000 / {SECONDS})
"""
ASK = """
import http.client, time
took = []
for _ in range(10):
    began = time.monotonic()
    one = http.client.HTTPConnection("private-bank", 8080, timeout=5); one.request("GET", "/ready"); one.getresponse().read()
    took.append(time.monotonic() - began)
print(sorted(took)[5])
"""


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory: Path = tmp_path_factory.mktemp("lines")
    up = drillbook("up", "hybrid-cloud", "--set", f"front_bandwidth_kbps={KBPS}", cwd=directory)
    assert up.returncode == 0, up.stdout + up.stderr
    assert f"public-1->private lets {KBPS} kbit/s pass at most, its kernel says" in up.stdout
    run_id = next(line for line in up.stdout.splitlines() if " stands; " in line).split()[0]
    yield attach(run_id)[0]
    drillbook("down", run_id, cwd=directory)


def ran(cluster: Cluster, node: str, script: str) -> float:
    done = cluster.execute(node, ["python3", "-c", script])
    assert done.exit_code == 0, done.output
    return float(done.output)


@pytest.mark.docker
def test_datagrams_pass_at_the_rate_that_the_line_names(standing: Cluster) -> None:
    before = standing.passed("public-1->private")
    with ThreadPoolExecutor(1) as pool:
        heard = pool.submit(ran, standing, "private-haproxy", HEAR)
        standing.execute("public-1-front", ["python3", "-c", f"import time; time.sleep(1)\n{SEND}"])
        kbps = heard.result()
    after = standing.passed("public-1->private")
    assert after.kbps == KBPS
    assert after.dropped > before.dropped
    # Of 1,442 bytes on the line 1,400 are payload; the bucket is emptied once more than it is filled.
    assert 0.8 * KBPS < kbps < KBPS * 1400 / 1442 * 1.03 + 3200 * 8 / 1000 / SECONDS


@pytest.mark.docker
def test_all_connections_share_a_line_and_other_lines_are_not_touched(standing: Cluster) -> None:
    ways = ("private->public-1", "private->public-2", "private->public-3")
    before = {path: standing.passed(path) for path in ways}
    with ThreadPoolExecutor(3) as pool:
        first, second = (pool.submit(ran, standing, f"public-{n}-front", FETCH) for n in (1, 2))
        took_s = pool.submit(ran, standing, "public-3-front", f"import time; time.sleep({SECONDS / 3})\n{ASK}").result()
        kbps = first.result(), second.result()
    after = {path: standing.passed(path) for path in ways}
    assert all(0.6 * KBPS < one < KBPS * 1.03 for one in kbps)  # each its own line's worth, by four connections together
    carried = [(after[path].bytes - before[path].bytes) * 8 / 1000 / SECONDS for path in ways]
    assert carried[2] < 0.3 * KBPS < min(carried[:2])
    assert took_s < 0.2  # four times 5 ms, and a machine that is busy
