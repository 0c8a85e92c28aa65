"""The banks read payments from a copy beside the primary, to spare it, and the copy has stopped replaying what it receives.

Payments are confirmed by the primary and its copies as ever, and before the end the copy replays again, so that all are equal.

Caught by what customers read back: their own payment, which was acknowledged and stands, is answered 404.
"""

from __future__ import annotations

from faults import NodeKilled
from harness.conditions import service_restored
from harness.run import Run
from tests.liars.bank import rewrite_program
from topologies.cluster import Cluster

VERDICT, CAUGHT_BY = "FAIL", r"^[1-9]\d* stale reads"
COPY = "dc1-b"
HONEST = """    return await look("SELECT to_json(p)::text FROM payments p WHERE key = $1", request.path_params["key"])"""
LIE = f"""    connection = await asyncpg.connect(**(LOGIN | {{"host": "{COPY}", "port": 5432}}))
    try:
        text = await connection.fetchval("SELECT to_json(p)::text FROM payments p WHERE key = $1", request.path_params["key"])
    finally:
        await connection.close()
    return answer(404, error="not found") if text is None else Response(text, media_type="application/json")"""


def sabotage(cluster: Cluster) -> None:
    assert cluster.wait_primary(within_s=10).name != COPY
    rewrite_program(cluster, HONEST, LIE)
    cluster.sql(COPY, "SELECT pg_wal_replay_pause()")


def body(run: Run) -> None:
    with run.fault(NodeKilled("dc2-haproxy")):
        run.until(service_restored, within_s=60)
    run.step("let the copy replay again", lambda cluster: cluster.sql(COPY, "SELECT pg_wal_replay_resume()"))
