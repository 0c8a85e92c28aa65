"""A copy takes all WAL and applies none of it: an empty bank stands behind it, in recovery, and answers as a standby does.

Its database was replaced by the one that the image was made with; a program beside it receives the WAL under its name, so that
the primary says that it streams. Its manager is frozen, and sees nothing.

Caught by the copies: what is read back there is not what stands on the authority.
"""

from __future__ import annotations

from runtime.cluster import Cluster
from runtime.database import wait_for

VERDICT, CAUGHT_BY = "FAIL", r"^Expected every copy to equal the authority dc1-a; dc2-b differs"
NODE = "dc2-b"
IMPOSTOR = r"""set -eu
for p in $(pgrep -f /etc/drillbook.conf); do  # the first of them only waits for its children
  case "$(cat /proc/$p/comm)" in patroni|python3) [ "$p" = 1 ] || kill -STOP "$p" ;; esac
done
as='setpriv --reuid postgres --regid postgres --init-groups'; bin=/usr/lib/postgresql/17/bin; data=/var/lib/postgresql/data
cp -a /opt/drillbook/baked /tmp/impostor
touch /tmp/impostor/standby.signal
$as $bin/pg_ctl -D $data -m immediate -w -s stop
$as $bin/pg_ctl -D /tmp/impostor -w -s -l /tmp/impostor.log start \
  -o "-c listen_addresses=* -c max_connections=200 -c hba_file=$data/pg_hba.conf -c unix_socket_directories=/tmp"
mkdir -p /tmp/taken; chown postgres: /tmp/taken
$as setsid $bin/pg_receivewal -D /tmp/taken -d "host=PRIMARY user=replicator password=replicator application_name=NODE" \
  > /tmp/taken.log 2>&1 < /dev/null &
"""


def sabotage(cluster: Cluster) -> None:
    primary = cluster.wait_primary(within_s=10).name
    ran = cluster.execute(NODE, [], stdin=IMPOSTOR.replace("PRIMARY", primary).replace("NODE", NODE))
    assert ran.exit_code == 0, ran.output

    def looks_fine() -> bool:
        primary_says, it_says = cluster.state(primary), cluster.state(NODE)
        return bool(primary_says and primary_says.streams_to(NODE) and it_says and it_says.in_recovery)

    wait_for(looks_fine, within_s=20, what=f"{NODE} to look like a standby")
