"""The banks read payments from a copy beside the primary, to spare it, and a long report on that copy keeps it from replaying.

Payments are confirmed by the primary and its copies as ever, and before the end the report ends, so that all are equal.

Caught by what customers read back: their own payment, which was acknowledged and stands, is answered 404.
"""

from __future__ import annotations

import shlex

from faults.node_killed import NodeKilled
from harness.conditions import service_restored
from harness.run import Run
from runtime.cluster import Cluster
from runtime.database import wait_for
from tests.liars.bank import rewrite_program

VERDICT, CAUGHT_BY = "FAIL", r"^[1-9]\d* stale reads"
COPY = "dc1-b"
HONEST = """    return await look("SELECT to_json(p)::text FROM payments p WHERE key = $1", request.path_params["key"])"""
LIE = f"""    connection = await asyncpg.connect(**(LOGIN | {{"host": "{COPY}", "port": 5432}}))
    try:
        text = await connection.fetchval("SELECT to_json(p)::text FROM payments p WHERE key = $1", request.path_params["key"])
    finally:
        await connection.close()
    return answer(404, error="not found") if text is None else Response(text, media_type="application/json")"""


REPORT = "SELECT count(*) FROM monthly; SELECT pg_sleep(900)"  # one transaction: what it has read may not be taken from it
RUNNING = "SELECT count(*) FROM pg_stat_activity WHERE query = %s AND state = 'active'"


def sabotage(cluster: Cluster) -> None:
    primary = cluster.wait_primary(within_s=10).name
    assert primary != COPY
    rewrite_program(cluster, HONEST, LIE)
    cluster.sql(COPY, "ALTER SYSTEM SET max_standby_streaming_delay = -1")  # "never cancel our reports"
    cluster.sql(COPY, "SELECT pg_reload_conf()")
    cluster.sql(primary, "CREATE TABLE monthly (amount bigint)")
    wait_for(lambda: cluster.sql(COPY, "SELECT to_regclass('monthly')")[0][0], within_s=20, what="the table on the copy")
    cluster.execute(COPY, ["sh", "-c", f"psql -d bank -c {shlex.quote(REPORT)} >/dev/null 2>&1 &"], user="postgres")
    wait_for(lambda: cluster.sql(COPY, RUNNING, REPORT)[0][0], within_s=20, what="the report on the copy")
    cluster.sql(primary, "TRUNCATE monthly")  # the report reads it: the copy's replay waits for the report's end


def end_report(cluster: Cluster) -> None:
    cluster.sql(COPY, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = %s", REPORT)


def body(run: Run) -> None:
    with run.fault(NodeKilled("dc2-haproxy")):
        run.until(service_restored, within_s=60)
    run.step("end the report", end_report)
