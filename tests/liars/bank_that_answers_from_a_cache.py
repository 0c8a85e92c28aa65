"""The banks answer one payment in fifty by themselves: 201, and no database ever sees it.

Caught by the customers' list: it was acknowledged and stands nowhere.
"""

from __future__ import annotations

from topologies.cluster import Cluster
from topologies.database import wait_for

VERDICT, CAUGHT_BY = "FAIL", r"^Lost payments [1-9]"
LIE = """        if hash(key) % 50 == 0:
            return answer(201, key=key, outcome="committed", center=CENTER)
"""


def sabotage(cluster: Cluster) -> None:
    banks = [node.name for node in cluster.topology.nodes("bank")]
    for bank in banks:
        script = (
            "import pathlib\n"
            "p = pathlib.Path('/opt/drillbook/bank.py'); text = p.read_text()\n"
            "mark = '        outcome = await bank.run('\n"
            "assert mark in text\n"
            f"p.write_text(text.replace(mark, {LIE!r} + mark))"
        )
        assert cluster.execute(bank, ["python3", "-c", script]).exit_code == 0
        cluster.kill([bank])
        cluster.start([bank])
        center = cluster.topology.center_of(bank).name
        if not cluster.door_servers()[center].startswith("MAINT"):
            wait_for(
                lambda center=center: cluster.door_servers()[center].startswith("UP"), within_s=30, what=f"{bank} at the door"
            )
