"""The kinds of node: which ports it listens on, what shows that it works, what of it must survive, and when it starts."""

from __future__ import annotations

from dataclasses import dataclass

DATA_DIRECTORY = "/var/lib/postgresql/data"
DATABASE, STORE, BALANCER, BANK, WATCHER, MONITOR = "postgres", "etcd", "haproxy", "bank", "watcher", "monitor"
FRONT = "front"  # takes customers in a center that has no bank, and passes them on to one elsewhere
EDGE = "edge"  # takes customers far from its group's bank, and authorises small payments by itself while it is cut off
REPOSITORY = "repository"  # keeps backups and the log that was archived since, by SFTP
BACKUPS = "/var/lib/pgbackrest"
LINKS_START = 30  # after the stores and a center's first database, which the rest waits for


@dataclass(frozen=True)
class Kind:
    """`port`: where it does its work, and takes no connection once it is dead. `others`: more ports that other centers dial.

    `start` says who starts first in a center (lower is sooner), `first_start` the same of the first of its kind there; None: as
    the others. `state` is the directory that must survive a power loss. `asked` is an HTTP path at `port` that is answered with
    one of `says` by a node that works; None: nobody is asked by HTTP.
    """

    name: str
    port: int
    start: int
    others: tuple[int, ...] = ()
    first_start: int | None = None
    state: str | None = None
    asked: str | None = None
    says: tuple[int, ...] = (200,)


KINDS = {
    kind.name: kind
    for kind in (
        Kind(STORE, port=2379, others=(2380,), start=10, state="/var/lib/etcd", asked="/version"),
        Kind(MONITOR, port=5432, start=10, state="/var/lib/postgresql"),
        Kind(REPOSITORY, port=22, start=15, state=BACKUPS),
        Kind(DATABASE, port=5432, start=40, first_start=20, state=DATA_DIRECTORY),
        Kind(WATCHER, port=8009, start=45, asked="/", says=(200, 503)),
        Kind(BANK, port=8080, start=50, asked="/ready", says=(200, 503)),
        Kind(FRONT, port=8080, start=55, asked="/ready", says=(200, 503)),
        Kind(EDGE, port=8080, start=55, state="/var/lib/edge", asked="/ready"),
        Kind(BALANCER, port=5432, start=60),
    )
}
