"""With real servers, one container each: a frozen PostgreSQL ends no wait, and a real etcd tells each change of a key."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
import requests

from runtime import engine, images
from runtime.database import Database, wait_for
from runtime.leader import LeaderChange, LeaderWatch, b64

pytestmark = pytest.mark.docker

POSTGRES = (
    "cp -a /opt/drillbook/baked/. /var/lib/postgresql/data && chmod 700 /var/lib/postgresql/data"
    " && printf 'local all all trust\\nhost all all all trust\\n' > /var/lib/postgresql/data/pg_hba.conf"
    " && exec /usr/lib/postgresql/17/bin/postgres -D /var/lib/postgresql/data -c listen_addresses='*'"
)


@contextmanager
def container(*command: str, user: str = "root") -> Iterator[Any]:
    client = engine.connect()
    found = images.ensure(client, print)
    run_id = f"test-{secrets.token_hex(3)}"
    one = client.containers.run(
        found.node, list(command), name=f"drillbook-{run_id}", user=user, detach=True, labels=engine.labels(run_id, "")
    )
    try:
        wait_for(lambda: address(one), within_s=20, what="its address")
        yield one
    finally:
        engine.remove_for_good(client, run_id)


def address(one: Any) -> str:
    one.reload()
    return str(next(iter(one.attrs["NetworkSettings"]["Networks"].values()))["IPAddress"])


def test_a_frozen_database_ends_no_wait_and_answers_again_when_thawed() -> None:
    with container("shell", "sh", "-c", POSTGRES, user="postgres") as one:
        database = Database(address(one), database="postgres")
        wait_for(lambda: database.state(within_s=0.75), within_s=30, what="the first answer")
        one.pause()
        try:
            for _ in range(3):  # on the connection that stood, and on new ones, which the kernel still accepts
                began = time.monotonic()
                with pytest.raises(psycopg.Error, match="no answer within"):
                    database.state(within_s=0.75)
                assert time.monotonic() - began < 1
        finally:
            one.unpause()
        assert not database.state(within_s=5).in_recovery
        database.close()


def test_a_real_store_tells_each_change_of_the_key() -> None:
    key = "/service/bank/leader"
    with container("etcd", "--listen-client-urls=http://0.0.0.0:2379", "--advertise-client-urls=http://0.0.0.0:2379") as one:
        url = f"http://{address(one)}:2379/v3/kv"
        session = requests.Session()
        session.trust_env = False
        wait_for(lambda: session.post(f"{url}/range", json={"key": b64(key)}, timeout=1).ok, within_s=20, what="the store")
        session.post(f"{url}/put", json={"key": b64(key), "value": b64("dc1-a")}, timeout=5).raise_for_status()
        changes: list[LeaderChange] = []
        stopping = threading.Event()
        watch = LeaderWatch([(address(one), 2379)], key, changes.append)
        thread = threading.Thread(target=watch.follow, args=(stopping,), daemon=True)
        thread.start()
        wait_for(lambda: len(changes) == 1, within_s=5, what="the first holder")
        time.sleep(0.5)
        asked_ns = time.monotonic_ns()
        session.post(f"{url}/deleterange", json={"key": b64(key)}, timeout=5).raise_for_status()
        done_ns = time.monotonic_ns()
        wait_for(lambda: len(changes) == 2, within_s=5, what="that nobody holds it")
        one.pause()
        time.sleep(1.5)
        one.unpause()
        answer = session.post(f"{url}/put", json={"key": b64(key), "value": b64("dc2-b")}, timeout=10).json()
        wait_for(lambda: len(changes) == 3, within_s=5, what="the next holder")
        stopping.set()
        thread.join(5)
    assert [c.leader for c in changes] == ["dc1-a", None, "dc2-b"]
    assert changes[1].seen_before_ns <= done_ns
    assert changes[1].t_ns >= asked_ns
    assert changes[2].revision == int(answer["header"]["revision"])
