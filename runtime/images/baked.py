"""What every database's machine begins with: a copy of the data directory that was made with the image."""

import os
import pathlib
import shutil
import subprocess
import time

DATA = pathlib.Path("/var/lib/postgresql/data")


def wait_for(condition, what, every_s=0.05, within_s=float("inf")):
    """The first true value; None after `within_s`. Says every five seconds what it waits for."""
    began = said = time.monotonic()
    while not (seen := condition()):
        now = time.monotonic()
        if now - began > within_s:
            return None
        if now - said > 5:
            print(f"waiting for {what}", flush=True)
            said = now
        time.sleep(every_s)
    return seen


def first_start():
    return not (DATA / "PG_VERSION").exists()


def copy_baked():
    shutil.copytree("/opt/drillbook/baked", DATA, dirs_exist_ok=True)
    own()
    subprocess.Popen(["sync"])  # the copy is on the disk long before a drill breaks it, and nobody waits for it


def own():
    for path in (DATA, *DATA.rglob("*")):
        shutil.chown(path, "postgres", "postgres")
    DATA.chmod(0o700)


def as_postgres(*command):
    return ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups", *map(str, command)]


def become(*command):
    """This process becomes that program, as the user postgres."""
    (DATA / "postmaster.pid").unlink(missing_ok=True)
    os.environ["HOME"] = "/var/lib/postgresql"
    os.execvp("setpriv", as_postgres(*command))
