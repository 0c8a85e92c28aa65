"""Whether every copy is there again: asked of the databases."""

from __future__ import annotations

from runtime.cluster import Cluster, ClusterError


def fully_redundant(cluster: Cluster) -> bool:
    """Every database answers, one is the primary, all others stream, and a copy elsewhere is guaranteed."""
    behind = redundancy_gaps(cluster)
    if behind:
        raise ClusterError("; ".join(behind))
    return True


def redundancy_gaps(cluster: Cluster) -> list[str]:
    """What is missing to full redundancy, in words: a copy that does not answer, does not stream, or is not synchronous."""
    states = cluster.states()
    gaps = [f"{name} does not answer" for name, state in states.items() if state is None]
    alive = {name: state for name, state in states.items() if state is not None}
    primaries = [name for name, state in alive.items() if not state.in_recovery]
    if len(primaries) != 1:
        return [*gaps, f"expected one primary; seen {', '.join(primaries) or 'none'}"]
    streaming = {r["name"] for state in alive.values() for r in state.replication if r["state"] == "streaming"}
    gaps += [f"{name} does not stream" for name in alive if name not in streaming and name != primaries[0]]
    settings, primary = cluster.topology.settings, alive[primaries[0]]
    # A copy that went past a fork dials again twice a second, and looks like streaming for a moment each time.
    gaps += [
        f"{name} follows timeline {state.timeline}, not {primary.timeline}"
        for name, state in alive.items()
        if name in streaming and name != primaries[0] and state.timeline != primary.timeline
    ]
    # Only the primary side is synchronous; a standby side that was promoted serves without.
    if settings["synchronous"] != "off" and cluster.topology.group_of(primaries[0]).upstream is None:
        synchronous = [r["name"] for r in primary.replication if r["sync_state"] in ("sync", "quorum")]
        if len(synchronous) < settings["synchronous_node_count"]:
            gaps.append(
                f"expected {settings['synchronous_node_count']} synchronous copies; seen {', '.join(synchronous) or 'none'}"
            )
    return gaps


def replayed(cluster: Cluster) -> bool:
    """No `replay_gaps`. Raises ClusterError with them."""
    if gaps := replay_gaps(cluster):
        raise ClusterError("; ".join(gaps))
    return True


def replay_gaps(cluster: Cluster) -> list[str]:
    """As `redundancy_gaps`, and whether every standby has replayed what the primary had flushed when it was asked."""
    if gaps := redundancy_gaps(cluster):
        return gaps
    primary = cluster.wait_primary(within_s=5)
    state = cluster.state(primary.name)
    if state is None or state.flush_lsn is None:
        return [f"{primary.name} does not say where its WAL ends"]
    behind = {name: state.flush_lsn - (other.replay_lsn or 0) for name, other in cluster.states().items() if other is not None}
    return [f"{name} is {lag} bytes behind" for name, lag in behind.items() if name != primary.name and lag > 0]


def rebuilt(cluster: Cluster, node: str) -> bool:
    """Streams again, and every page of its new disk is whole."""
    primary = cluster.wait_primary(within_s=10)
    state = cluster.state(primary.name)
    return state is not None and state.streams_to(node) and cluster.state(node) is not None and not cluster.scrub(node)


AUDITED = """
SELECT count(*) || ' payments, ' || coalesce(md5(string_agg(p::text, E'\\n' ORDER BY p.key)), '-') || ', '
    || (SELECT count(*) || ' entries, ' || coalesce(md5(string_agg(e::text, E'\\n' ORDER BY e.key, e.account)), '-')
        FROM entries e WHERE NOT EXISTS (SELECT FROM payments o WHERE o.key = e.key AND o.committed_at >= %s))
FROM payments p WHERE p.committed_at < %s
"""
IN_FLIGHT_S = 12.0  # a payment is committed within 10 s of its arrival at the door, or never


def audit(cluster: Cluster) -> tuple[list[str], str]:
    """Row by row and by hash: whether every copy holds the same payments and entries, of all that were committed until 12 s ago.

    Returns what differs, and what the primary holds. Raises psycopg.Error or TimeoutError where one does not answer.
    """
    primary = cluster.wait_primary(within_s=5).name
    until = cluster.sql(primary, "SELECT clock_timestamp() - make_interval(secs => %s)", IN_FLIGHT_S)[0][0]
    names = [primary, *(node.name for node in cluster.databases() if node.name != primary)]
    held = {name: str(cluster.sql(name, AUDITED, until, until)[0][0]) for name in names}
    wrong = [f"{name} holds {seen}; {primary} holds {held[primary]}" for name, seen in held.items() if seen != held[primary]]
    return wrong, f"{held[primary]} on each of {len(held)} copies"
