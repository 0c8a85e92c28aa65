"""How a liar rewrites the program of the edges, and cuts them off. No liar itself: it has no verdict."""

from __future__ import annotations

from faults.center_isolated import CenterIsolated
from harness.conditions import edges_answer_alone, edges_have_forwarded, service_restored
from harness.run import Run
from runtime.cluster import Cluster
from runtime.database import wait_for
from runtime.edges import edge_state, edges


def rewrite_edges(cluster: Cluster, old: str, new: str) -> None:
    """Replace `old` by `new` in the program of each edge, and start it again, one after the other: the door stays open."""
    for node in edges(cluster):
        script = (
            "import pathlib\n"
            "p = pathlib.Path('/opt/drillbook/edge.py'); text = p.read_text()\n"
            f"assert {old!r} in text\n"
            f"p.write_text(text.replace({old!r}, {new!r}))"
        )
        ran = cluster.execute(node, ["python3", "-c", script])
        assert ran.exit_code == 0, ran.output
        cluster.kill([node])
        cluster.start([node])
        wait_for(lambda node=node: not edge_state(cluster, node).cut_off, within_s=30, what=f"{node} to hear its center")
        center = cluster.topology.center_of(node).name
        wait_for(lambda center=center: cluster.door_servers()[center].startswith("UP"), within_s=30, what=f"{node} at the door")


def cut_off(run: Run) -> None:
    with run.fault(CenterIsolated("center")):
        run.until(edges_answer_alone, within_s=20)
    run.until(edges_have_forwarded, within_s=120)
    run.until(service_restored, within_s=60)
