"""What a drill waits for. A condition looks once and says (reached, what it saw); `run.until` does the waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime import edges
from runtime.manager import manager_of
from runtime.redundancy import audit, replay_gaps

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


def customers_pay_as_usual(run: Run) -> tuple[bool, str]:
    """All customers have come and pay at the plan's rate, over some seconds: what comes later is a multiple of that."""
    made, usual = run.customers.rate(), run.customers.load.customer_rate_per_s
    return made is not None and made >= 0.95 * usual, f"{made or 0:.1f} acts a second of {usual:g}"


def customers_are_kept_waiting(run: Run) -> tuple[bool, str]:
    """More than one in twenty payments of the last 2 s was not acknowledged within the service level."""
    return run.customers.kept_waiting(run.last_window)


def p99_is_back(run: Run) -> tuple[bool, str]:
    """The 99th percentile has been within the service level again for 10 s, by the verdict's rule and code: `p99_back_s`."""
    return run.customers.quick_again(run.last_window)


def edges_answer_alone(run: Run) -> tuple[bool, str]:
    """While the center can't be reached: payments up to the edges' limit are acknowledged, larger ones refused, all at once."""
    return run.customers.told_apart(int(run.cluster.topology.settings["edge_limit_minor"]))


def edges_have_forwarded(run: Run) -> tuple[bool, str]:
    """Every edge hears the center, and the center has answered to all that edges had authorised by themselves."""
    left = edges.unforwarded(run.cluster)
    return not left, "; ".join(left) or "every edge has forwarded all that it had authorised"


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


def copies_agree(run: Run) -> tuple[bool, str]:
    """Every copy holds the same rows of payments and entries, by their hash, of all that was committed until 12 s ago."""
    wrong, seen = audit(run.cluster)
    return not wrong, "; ".join(wrong) or seen


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
