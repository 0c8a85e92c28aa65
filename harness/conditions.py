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


def another_primary(run: Run) -> tuple[bool, str]:
    """A database is the primary that no fault has down: somebody has taken over. Whether it may serve already is not asked."""
    down = {node for effect in run.effects.values() for node in effect.down}
    primary = run.observer.primary
    return primary is not None and primary not in down, f"{primary or 'no database'} is primary"


def customers_are_refused(run: Run) -> tuple[bool, str]:
    """Whoever pays is told at once that it can't be done now: nobody waits, and nobody is left in doubt."""
    return run.customers.refused()


def load_at_its_height(run: Run) -> tuple[bool, str]:
    """The load's shape has been at its highest for as long as a baseline. Whether customers made that rate, the verdict asks."""
    asked = run.customers.asked_times()
    height = max((times for _, times in run.customers.load.shape or ()), default=1.0)
    if asked is None or (made := run.customers.rate()) is None:
        return False, "Locust has told of no rate yet"
    return asked >= height * (1 - 1e-6), f"{made:.1f} acts a second, {asked:.2f} times the rate asked of {height:g}"


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
