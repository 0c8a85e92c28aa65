"""What every PostgreSQL server of a topology is given, whoever decides for it; and how one is asked whether it is the primary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from runtime.manager import PrimaryCheck
from topologies.kinds import BACKUPS, DATA_DIRECTORY, DATABASE, KINDS, REPOSITORY
from topologies.model import Group, Topology

BIN = "/usr/lib/postgresql/17/bin"
MONITOR = "monitor"  # a role of runtime/images/schema.sql
NETWORKS = "198.18.0.0/15"
STANZA = "bank"
HBA = (
    "local all all trust",
    "local replication all trust",
    "host all all 127.0.0.1/32 trust",
    f"host postgres {MONITOR} {NETWORKS} trust",
    f"host all all {NETWORKS} scram-sha-256",
    f"host replication all {NETWORKS} scram-sha-256",
)


def parameters(settings: Mapping[str, Any]) -> dict[str, str | int]:
    """Of postgresql.conf, beside what a manager sets itself."""
    return {
        "wal_log_hints": "on",
        "wal_keep_size": "512MB",
        "max_connections": 200,
        "wal_sender_timeout": f"{settings['wal_sender_timeout_s']}s",
        "wal_receiver_timeout": f"{settings['wal_sender_timeout_s']}s",
        "wal_receiver_status_interval": "1s",
        "wal_retrieve_retry_interval": "500ms",
        "tcp_keepalives_idle": 2,
        "tcp_keepalives_interval": 1,
        "tcp_keepalives_count": 3,
        "log_checkpoints": "on",
        "log_line_prefix": "%m [%p] %a ",
    }


def archiving(topology: Topology, group: Group) -> tuple[dict[str, str | int], str]:
    """Parameters of postgresql.conf, and pgbackrest.conf, of a server; nothing and "" where its group has no repository.

    The log is archived when a segment of it is full, and at the latest `archive_timeout_s` after something was written: what
    was confirmed since then is lost with the disks.
    """
    keepers = topology.members(group.name, REPOSITORY)
    if not keepers:
        return {}, ""
    parameters: dict[str, str | int] = {
        "archive_mode": "on",
        "archive_command": f"pgbackrest --stanza={STANZA} archive-push %p",
        "archive_timeout": f"{topology.settings['archive_timeout_s']}s",
    }
    lines = {
        "repo1-type": "sftp",
        "repo1-path": BACKUPS,
        "repo1-sftp-host": keepers[0].name,
        "repo1-sftp-host-port": KINDS[REPOSITORY].port,
        "repo1-sftp-host-user": "postgres",
        "repo1-sftp-private-key-file": "/opt/drillbook/backup-key",
        "repo1-sftp-host-key-hash-type": "sha256",
        "repo1-sftp-host-key-check-type": "none",  # one machine's laboratory: no other host can stand at that address
        "repo1-retention-full": 2,
        "repo1-bundle": "y",  # a file of its own for each table costs four round trips: a thousand of them took two minutes
        "compress-type": "lz4",
        "start-fast": "y",
        "log-level-console": "info",
        "log-level-file": "off",
    }
    text = "".join(f"{name}={value}\n" for name, value in lines.items())
    own = f"pg1-path={DATA_DIRECTORY}\npg1-socket-path=/run/postgresql\npg1-user=postgres\n"
    return parameters, f"[global]\n{text}[{STANZA}]\n{own}"


def synchronous_list(mode: str, count: int, names: Sequence[str]) -> str:
    """`synchronous_standby_names` for `strict` (the first of the list), `quorum` (any of it) or `off`."""
    if mode == "off" or not names:
        return ""
    quoted = ", ".join(f'"{name}"' for name in names)
    return f"{'ANY' if mode == 'quorum' else 'FIRST'} {min(count, len(names))} ({quoted})"


def asked_by_sql() -> PrimaryCheck:
    """HAProxy speaks PostgreSQL's protocol, version 3, to the server itself: the primary answers `f` to pg_is_in_recovery()."""
    startup = b"".join(word + b"\0" for word in (b"user", MONITOR.encode(), b"database", b"postgres")) + b"\0"
    startup = (len(startup) + 8).to_bytes(4, "big") + (196608).to_bytes(4, "big") + startup
    query = b"SELECT pg_is_in_recovery()\0"
    query = b"Q" + (len(query) + 4).to_bytes(4, "big") + query
    no = b"D" + (11).to_bytes(4, "big") + (1).to_bytes(2, "big") + (1).to_bytes(4, "big") + b"f"  # a row of one column
    lines = (
        "  option tcp-check",
        "  tcp-check connect",
        f"  tcp-check send-binary {startup.hex()}",
        f"  tcp-check expect binary {(b'R' + (8).to_bytes(4, 'big') + (0).to_bytes(4, 'big')).hex()}",  # authenticated
        f"  tcp-check send-binary {query.hex()}",
        f"  tcp-check expect binary {no.hex()}",
        f"  tcp-check send-binary {(b'X' + (4).to_bytes(4, 'big')).hex()}",  # good-bye
    )
    return PrimaryCheck(lines, KINDS[DATABASE].port)
