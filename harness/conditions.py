"""What a drill waits for. A condition looks once and says (reached, what it saw); `run.until` does the waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.manager import manager_of
from runtime.redundancy import replay_gaps

if TYPE_CHECKING:
    from harness.run import Run


def service_restored(run: Run) -> tuple[bool, str]:
    """Service is back from the last fault, by the rule and the code that the verdict uses: see `rto_s` in docs/evidence.md."""
    back, seen = run.customers.restored(run.last_window)
    run.last_window.seen_back |= back
    return back, seen


def replicas_caught_up(run: Run) -> tuple[bool, str]:
    """Every database answers, streams or is the primary, and has replayed what the primary had flushed."""
    gaps = replay_gaps(run.cluster)
    return not gaps, "; ".join(gaps) or "every copy has caught up"


def all_is_whole(run: Run) -> tuple[bool, str]:
    """As `replicas_caught_up`, and every member of every store is there again: the next loss would be the first."""
    gaps = replay_gaps(run.cluster)
    for group in run.cluster.topology.groups:
        gaps += manager_of(group).store_gaps(run.cluster, group)
    return not gaps, "; ".join(gaps) or "every copy has caught up, every store is whole"


def corruption_detected(run: Run) -> tuple[bool, str]:
    """A scrub (every page of a copy read from its disk, checksums verified) finds damage: the bank's own monitoring."""
    for node in [n.name for n in run.cluster.databases()]:
        if damaged := run.cluster.scrub(node):
            run.found_damage(node, damaged)
            return True, f"{node}: {damaged[0]}"
    return False, "every page of every copy has the right checksum"
