"""The host witness against itself and against what ran beside it: a stall that nothing else felt is invented."""

from __future__ import annotations

import json
from collections.abc import Iterator

from judging.crosschecks.case import BUSY_NS, SECOND_NS, Case

STALL_NS = 200_000_000  # a shorter one accounts for nothing that a target asks
FELT_SHARE = 0.05  # of a stall, what the kernel must show at least; nine real ones of 0.6 to 1.4 s showed 52 % and more


def witness_is_gapless(case: Case) -> Iterator[str]:
    """The witness's spans follow each other, core by core, from before the baseline to the end of the load."""
    seen, count = case.witness_rows, case.records.probe_count
    if seen is None or count is None or case.baseline is None:
        return
    for kind, theirs in seen.groupby("kind"):
        for core, spans in theirs.groupby("core"):
            ordered = spans.sort_values("from_ns")
            start, end = ordered["from_ns"].to_numpy(), ordered["to_ns"].to_numpy()
            words = f"witness.csv, {kind}" + (f" on core {core}" if str(core) not in ("", "-1") else "")
            if (end < start).any() or (start[1:] < end[:-1]).any():
                yield f"{words}: spans overlap or end before they begin."
            gaps = start[1:] - end[:-1]
            if len(gaps) and gaps.max() > 2 * BUSY_NS:
                yield (
                    f"{words}:"
                    f" nothing was seen for {gaps.max() / 1e9:.1f} s from {case.since_start(int(end[int(gaps.argmax())]))}"
                    " on."
                )
            if start[0] > case.baseline.from_ns or end[-1] < count.stopped_ns - 2 * BUSY_NS:
                yield f"{words}: it was not watched from the baseline to the end of the load."


def witness_rows_add_up(case: Case) -> Iterator[str]:
    """A row's lateness lies in its span."""
    seen = case.witness_rows
    if seen is None:
        return
    syncs = seen[seen["kind"] == "sync"]
    wrong = syncs["late_ns"] != syncs["to_ns"] - syncs["from_ns"]
    if wrong.any():
        yield f"witness.csv: {int(wrong.sum())} syncs took another time than from their beginning to their end."
    wakes = seen[(seen["kind"] == "wake") & (seen["late_ns"] > 0)]
    due = wakes["data"].map(lambda text: int(json.loads(text).get("at_ns", 0)))
    outside = (due < wakes["from_ns"] - SECOND_NS // 10) | (due + wakes["late_ns"] > wakes["to_ns"] + SECOND_NS // 100)
    if outside.any():
        yield f"witness.csv: {int(outside.sum())} threads woke late outside the span of their row."


def stalls_were_felt(case: Case) -> Iterator[str]:
    """While the host's disk or a core stalls, the kernel's pressure, steal, or the probe beside it shows it too."""
    seen, probe = case.witness_rows, case.records.probe
    if seen is None or probe is None:
        return
    for stall in seen[(seen["late_ns"] >= STALL_NS) & seen["kind"].isin(("wake", "sync"))].itertuples():
        from_ns, to_ns = int(str(stall.from_ns)), int(str(stall.to_ns))
        late_ns, word = int(str(stall.late_ns)), "io_some_us" if stall.kind == "sync" else "cpu_some_us"
        near = seen[(seen["to_ns"] > from_ns) & (seen["from_ns"] < to_ns)]
        data = [json.loads(text) for text in near["data"][near["kind"].isin(("pressure", "cpu"))]]
        felt = [int(one[word]) * 1000 for one in data if word in one]
        if not felt:
            continue  # this kernel does not tell
        stolen = sum(int(one.get("steal_ns", 0)) for one in data) if stall.kind == "wake" else 0
        sent = probe[(probe["due_ns"] > from_ns - SECOND_NS) & (probe["due_ns"] < to_ns)]
        late = int((sent["sent_ns"] - sent["due_ns"]).max()) if len(sent) else late_ns
        if max(sum(felt), stolen, late) < FELT_SHARE * late_ns:
            yield (
                f"witness.csv has the host's {'disk' if stall.kind == 'sync' else 'core ' + str(stall.core)} stalled for"
                f" {late_ns / 1e9:.1f} s from"
                f" {case.since_start(from_ns)} on; neither its own pressure rows nor the probe felt it."
            )
            return
    pressure = seen[seen["kind"] == "pressure"]
    for slow in (stall for stall in case.host.stalls if stall.kind == "slow"):
        told = pressure["data"][(pressure["to_ns"] > slow.from_ns) & (pressure["from_ns"] < slow.to_ns)].tolist()
        felt = [int(one["io_some_us"]) * 1000 for one in map(json.loads, told) if "io_some_us" in one]
        if felt and sum(felt) < FELT_SHARE * (slow.to_ns - slow.from_ns):
            yield (
                f"witness.csv has the host's disk slow for {(slow.to_ns - slow.from_ns) / 1e9:.1f} s from"
                f" {case.since_start(slow.from_ns)} on; its own pressure rows felt nothing of it."
            )
            return
