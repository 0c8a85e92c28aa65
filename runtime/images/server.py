"""A PostgreSQL server for which no program of its own machine decides how it starts.

The first time it starts from the baked directory, one as the primary. After that always as a copy of whoever is found at
UPSTREAM, so that an old primary that comes back never is one by itself; it is rewound first where timelines differ.

Environment: NAME, SEED (1: starts as the primary the first time), UPSTREAM (how libpq finds the primary), HBA. A file
`upstream` in the data directory says instead where the primary is found; a file `rebuild` there orders a new copy. A file
`restore` there, with options of pgBackRest, orders that this server goes back to a moment and starts as the primary. BACKUP
(pgbackrest.conf) says where backups are kept. RESTORE is given to a machine that stands in for one that is gone, disk and all:
`backup` (it is made from the newest backup and all the log that was archived, and starts as the primary) or `copy` (it is made
from the primary, once there is one).
"""

import os
import pathlib
import shutil
import subprocess
import sys

from baked import DATA, as_postgres, copy_baked, first_start, own, wait_for

BIN = pathlib.Path("/usr/lib/postgresql/17/bin")
PRIMARY_WITHIN_S = 60
TIMELINE = "SELECT ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int"
# A copy that dials the primary honours no connect_timeout: without tcp_user_timeout a silent host keeps it for two minutes.
KEEPALIVE = "keepalives_idle=2 keepalives_interval=1 keepalives_count=3 connect_timeout=2 tcp_user_timeout=2000"
MOVED = DATA / "upstream"
REBUILD = DATA / "rebuild"
BACK = DATA / "restore"
BACKUP = pathlib.Path("/etc/pgbackrest.conf")


def source():
    """Where the primary is found, as libpq wants it."""
    return f"{MOVED.read_text().strip() if MOVED.exists() else os.environ['UPSTREAM']} {KEEPALIVE}"


def ask_primary(query):
    """One value of the primary; empty while none is found."""
    asked = subprocess.run(
        ["psql", f"{source()} user=postgres password=postgres dbname=postgres", "-XAtqc", query], capture_output=True, text=True
    )
    return asked.stdout.strip()


def timeline():
    """Of the data directory, by its last checkpoint."""
    told = subprocess.run(as_postgres(BIN / "pg_controldata", DATA), capture_output=True, text=True).stdout
    return next(line.split(":")[1].strip() for line in told.splitlines() if "TimeLineID" in line and "Prev" not in line)


def run(*command):
    done = subprocess.run(as_postgres(*command), env={**os.environ, "PGPASSWORD": "replicator"})
    print(command[0], "ended with", done.returncode, flush=True)
    return done.returncode == 0


def prepare(config):
    """Make the data directory ready to be started, by its own state and what is found at UPSTREAM."""
    pathlib.Path("/etc/drillbook-hba.conf").write_text(os.environ["HBA"])
    with pathlib.Path(config).open("a") as file:
        file.write(f"primary_conninfo = '{source()} user=replicator password=replicator application_name={os.environ['NAME']}'\n")
    pathlib.Path(config).chmod(0o644)
    if "BACKUP" in os.environ:
        BACKUP.write_text(os.environ["BACKUP"])
    if first_start() and "RESTORE" in os.environ:
        stand_in()
    elif first_start():
        copy_baked()
        with (DATA / "postgresql.conf").open("a") as file:
            file.write(f"include_if_exists '{config}'\n")  # an autopsy reads a copy of this disk elsewhere
        if os.environ["SEED"] != "1":
            (DATA / "standby.signal").touch()  # as old as the primary was at its start: what is missing is streamed
    elif BACK.exists():
        go_back()
    else:
        follow()
    (DATA / "postmaster.pid").unlink(missing_ok=True)
    own()


def stand_in():
    """Makes the data directory of a machine that is new, in the place of one that is gone."""
    own()
    if os.environ["RESTORE"] == "copy":
        wait_for(lambda: ask_primary(TIMELINE), f"a primary at {source()}", every_s=0.2)
        copy_anew()
    elif not run("pgbackrest", "--stanza=bank", "restore"):
        sys.exit("no backup could be restored")


def go_back():
    """Makes the data directory what it was at a moment; the server recovers the log up to there, and begins a new timeline."""
    options = BACK.read_text().split()
    for name in ("postmaster.pid", "standby.signal"):
        (DATA / name).unlink(missing_ok=True)
    if not run("pgbackrest", "--stanza=bank", "restore", "--delta", *options):
        sys.exit("the backup could not be restored")
    BACK.unlink(missing_ok=True)
    own()


def forget(name):
    """A setting that a program has written into the data directory, or a rewind has brought from another server's."""
    automatic = DATA / "postgresql.auto.conf"
    automatic.write_text("".join(line for line in automatic.read_text().splitlines(True) if not line.startswith(name)))


def copy_anew():
    """Throws the data directory away, and makes it from the primary that is found at UPSTREAM."""
    kept = MOVED.read_text() if MOVED.exists() else None
    for child in DATA.iterdir():
        shutil.rmtree(child) if child.is_dir() and not child.is_symlink() else child.unlink()
    if not run(BIN / "pg_basebackup", "-d", f"{source()} user=replicator", "-D", DATA, "-X", "stream", "-c", "fast"):
        sys.exit("no new copy could be made")
    if kept is not None:
        MOVED.write_text(kept)
    (DATA / "standby.signal").touch()
    own()


def follow():
    primary = wait_for(lambda: ask_primary(TIMELINE), f"a primary at {source()}", every_s=0.2, within_s=PRIMARY_WITHIN_S)
    if primary and REBUILD.exists():
        copy_anew()
    elif primary and primary != timeline():
        for name in ("postmaster.pid", "standby.signal"):  # the recovery that comes before a rewind is no standby's
            (DATA / name).unlink(missing_ok=True)
        ask_primary("CHECKPOINT")  # till then the primary's control file, which a rewind looks at, tells of its old timeline
        server = f"{source()} user=postgres password=postgres dbname=postgres"
        run(BIN / "pg_rewind", "-D", DATA, "--source-server", server, "--config-file", DATA / "postgresql.conf")
    for name in ("primary_conninfo", "recovery_target"):  # a copy that inherits the latter stops there for ever
        forget(name)
    (DATA / "standby.signal").touch()
