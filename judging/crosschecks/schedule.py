"""The ledgers against what the plan, their own counts and the seed say they must hold."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from judging.columns import Codes
from judging.crosschecks.case import BUSY_NS, SECOND_NS, Case, first_few
from judging.evidence import Plan

SAMPLED_FROM_A_LIST = 21  # accounts or fewer: of so few, sample(…, 2) draws in another way
AMOUNT_MINOR_MAX = 1000  # as docs/evidence.md says how a payment is drawn
LATE_MS_DIGITS = 0.001  # late_ms_max is written to the nanosecond


def numbered_keys(case: Case) -> Iterator[str]:
    """Keys carry a number: the probe's in the order of its schedule, each customer's in the order of sending."""
    probe, count = case.records.probe, case.records.probe_count
    if probe is not None and count is not None and len(probe):
        codes = case.records.evidence.probe_keys
        due = probe["due_ns"].to_numpy(dtype=np.int64)
        order = None if (np.diff(due) >= 0).all() else np.argsort(due, kind="stable")
        seen = codes if order is None else codes[order]
        wanted = case.keys.numbered(f"{case.run_id}-p-", len(codes))
        wrong = np.flatnonzero(seen != wanted)
        if len(wrong):
            first = case.keys.decode(np.array([seen[wrong[0]], wanted[wrong[0]]]))
            yield (
                f"probe.csv: {len(wrong)} keys do not have the number of their place in the schedule; the first is {first[0]}"
                f" where {first[1]} was due."
            )
    for customer, (rows, numbers) in case.by_customer.items():
        ledger = case.records.ledger
        assert ledger is not None
        if (numbers != np.arange(len(numbers))).any():
            there = np.unique(numbers)
            missing = np.flatnonzero(there != np.arange(len(there)))
            none = f"number {missing[0]} is not there" if len(missing) else ""
            told = none or "they are not in the order in which they were sent"
            yield f"ledger.csv: the payments of customer {customer} are numbered from 0 without a gap; {told}."
        overlap = ledger["sent_ns"].to_numpy()[rows[1:]] < ledger["done_ns"].to_numpy()[rows[:-1]]
        if overlap.any():
            yield f"ledger.csv: customer {customer} does one thing at a time, and sent a payment before the last one had ended."
    yield from _strange_keys(case)


def _strange_keys(case: Case) -> Iterator[str]:
    ledger, plan = case.records.ledger, case.plan
    if ledger is None or plan is None:
        return
    codes, who = case.records.evidence.ledger_keys, case.customers
    used = case.keys.used(codes)
    foreign = [place for place in used if who[place][0] < 0 or not case.keys.names()[place][0].startswith(f"{case.run_id}-c-")]
    if foreign:
        strange = case.keys.decode(codes[np.isin(codes // case.keys.BASE, foreign)])
        yield f"ledger.csv holds keys that no customer of run {case.run_id} uses: {first_few(strange)}."
    customers = {who[place][0] for place in used if who[place][0] >= 0}
    if customers and max(customers) >= plan.load.customers:
        yield f"ledger.csv holds payments of customer {max(customers)}; plan.json has customers 0 to {plan.load.customers - 1}."


def schedule_adds_up(case: Case) -> Iterator[str]:
    """What the probe counted follows from when it started and stopped, and its lateness from its rows."""
    probe, count = case.records.probe, case.records.probe_count
    if probe is None or count is None or not len(probe):
        return
    interval_ns = round(count.interval_ms * 1e6)
    due = (count.stopped_ns - count.started_ns) / interval_ns
    # One is due at the very start; when it stopped it may have been up to a second behind its schedule.
    if not due - BUSY_NS / interval_ns - 1 <= count.scheduled <= due + 2:
        yield (
            f"probe.json: {due:.0f} payments were due between its start and its stop, every {count.interval_ms:g} ms;"
            f" it says {count.scheduled} were scheduled."
        )
    late_ms = float((probe["sent_ns"] - probe["due_ns"]).max()) / 1e6
    if abs(late_ms - count.late_ms_max) > LATE_MS_DIGITS:
        yield f"probe.json says the latest payment went out {count.late_ms_max:g} ms late; probe.csv says {late_ms:g} ms."
    if (probe["sent_ns"] < probe["due_ns"]).any():
        yield "probe.csv holds payments that were sent before they were due."


def patience_is_kept(case: Case) -> Iterator[str]:
    """Nobody gives up before the time-out that the plan gives, nor waits much longer; who has no answer says why."""
    if case.plan is None:
        return
    timeout_ns = round(case.plan.load.probe_timeout_s * 1e9)
    for name, table, patience_ns in (
        ("probe.csv", case.records.probe, timeout_ns),
        ("ledger.csv", case.records.ledger, 2 * timeout_ns),
    ):
        if table is None or not len(table):
            continue
        took = table["done_ns"] - table["sent_ns"]
        long = took > patience_ns + 2 * BUSY_NS  # customers may wait for a connection and then for an answer
        if long.any():
            long &= took > patience_ns + 2 * BUSY_NS + case.excused_ns(table["sent_ns"], table["done_ns"])
        if long.any():
            yield (
                f"{name}: {int(long.sum())} payments took longer than the patience of {patience_ns / 1e9:g} s, the first"
                f" {table['key'][long].iloc[0]}."
            )
        silent = table["status"].isna() & (table["error"] == "")
        if silent.any() and name == "probe.csv":
            yield (
                f"{name}: {int(silent.sum())} payments have neither a status nor an error,"
                f" the first {table['key'][silent].iloc[0]}."
            )
        gave_up = table["error"].str.startswith("no answer within") & (took < patience_ns - CLOCK_GRAIN_NS)
        if gave_up.any() and name == "probe.csv":
            yield f"{name}: {int(gave_up.sum())} payments gave up before their {patience_ns / 1e9:g} s were over."


CLOCK_GRAIN_NS = 1_000_000
DRAWN_MAX = 100_000  # payments a generator: each draw is Python's, one after the other, and millions would take a minute


def drawn_from_the_seed(case: Case) -> Iterator[str]:
    """The seed gives each payment's accounts and amount; a row that was moved, invented or left out has others."""
    if case.plan is None or case.authority is None or (table := case.copy(case.authority, "accounts")) is None:
        return
    accounts = sorted(table["id"].tolist())
    if len(accounts) < 2:
        return
    probe, ledger, seed = case.records.probe, case.records.ledger, case.plan.seed
    if probe is not None and len(probe):
        rows = _first_due(probe["due_ns"].to_numpy(dtype=np.int64))
        draws = _Draws(random.Random(f"{seed}-probe"), len(accounts))
        yield from _differs("probe.csv", probe.iloc[rows], accounts, [draws.one() for _ in rows])
    looks = 0
    for customer, acts in case.once(acts_of_customers).items():
        assert ledger is not None
        looks += sum(acts.looks)
        yield from _differs("ledger.csv", ledger.iloc[case.by_customer[customer][0][:DRAWN_MAX]], accounts, acts.drawn)
    told = case.records.ledger_count
    # Each customer may have been stopped in the middle of a look.
    if told is not None and told.looks < looks - case.plan.load.customers:
        yield (
            f"ledger.json says customers looked at {told.looks} balances; by the seed, {looks} looks lie between their payments."
        )


def _first_due(due_ns: Codes) -> Codes:
    """The rows of the payments that were due first, in that order; more than DRAWN_MAX where several are due at once."""
    rows = np.arange(len(due_ns))
    if len(due_ns) > DRAWN_MAX:
        rows = np.flatnonzero(due_ns <= np.partition(due_ns, DRAWN_MAX - 1)[DRAWN_MAX - 1])
    return rows[np.argsort(due_ns[rows], kind="stable")]


Drawn = tuple[int, int, int]  # debit and credit as places among the sorted accounts, and the amount


class _Draws:
    """Draws as `random.Random` makes them: a sample of two and a number up to AMOUNT_MINOR_MAX, in a fifth of its time."""

    def __init__(self, choice: random.Random, accounts: int) -> None:
        self.choice, self.accounts = choice, accounts
        self._bits = choice.getrandbits

    def one(self) -> Drawn:
        if self.accounts <= SAMPLED_FROM_A_LIST:
            debit, credit = self.choice.sample(range(self.accounts), 2)
            return debit, credit, self.choice.randint(1, AMOUNT_MINOR_MAX)
        debit = credit = self.below(self.accounts)
        while credit == debit:
            credit = self.below(self.accounts)
        return debit, credit, 1 + self.below(AMOUNT_MINOR_MAX)

    def below(self, limit: int) -> int:
        bits, size = self._bits, limit.bit_length()
        drawn = bits(size)
        while drawn >= limit:
            drawn = bits(size)
        return drawn


@dataclass(frozen=True)
class Acts:
    """What a customer did by the seed, up to its last payment: what each payment is, and how many looks came right before it."""

    drawn: list[Drawn]
    looks: list[int]


def acts_of_customers(case: Case) -> dict[int, Acts]:
    """By customer; empty where the seed or the accounts are not known."""
    if case.plan is None or case.authority is None or (table := case.copy(case.authority, "accounts")) is None:
        return {}
    accounts = len(table)
    if accounts < 2:
        return {}
    return {
        customer: _acts(case.plan, customer, accounts, min(len(rows), DRAWN_MAX))
        for customer, (rows, _) in case.by_customer.items()
    }


def _acts(plan: Plan, customer: int, accounts: int, payments: int) -> Acts:
    choice = random.Random(f"{plan.seed}-customer-{customer}")
    choice.uniform(0, 1)  # when it arrived: one draw, whatever its range
    draws, acts = _Draws(choice, accounts), Acts([], [])
    looks = 0
    while len(acts.drawn) < payments and plan.load.pay_share > 0:
        if choice.random() < plan.load.pay_share:
            acts.drawn.append(draws.one())
            acts.looks.append(looks)
            looks = 0
        else:
            draws.below(accounts)
            looks += 1
    return acts


def _differs(name: str, rows: pd.DataFrame, accounts: Sequence[str], drawn: Sequence[Drawn]) -> Iterator[str]:
    first = {account: place for place, account in reversed(list(enumerate(accounts)))}
    place = np.array([first[account] for account in accounts])
    wanted = np.array(drawn, np.int64).reshape(-1, 3)
    rows = rows.iloc[: len(wanted)]
    differs = rows["amount_minor"].to_numpy() != wanted[:, 2]
    for column, told in (("debit", wanted[:, 0]), ("credit", wanted[:, 1])):
        seen = rows[column].astype("category").cat
        known = np.array([*(first.get(account, -1) for account in seen.categories), -1])
        differs |= known[seen.codes.to_numpy()] != place[told]
    wrong = np.flatnonzero(differs)
    if len(wrong):
        yield (
            f"{name}: {len(wrong)} payments have other accounts or another amount than plan.json's seed gives, the"
            f" first {rows['key'].iloc[wrong[0]]}."
        )


def customers_keep_paying(case: Case) -> Iterator[str]:
    """Locust's customers pay from their start to their stop: a gap of all of them is a part that is not there."""
    ledger, count, plan = case.records.ledger, case.records.ledger_count, case.plan
    if ledger is None or count is None or plan is None or not len(ledger):
        return
    if (ledger["sent_ns"] < count.started_ns).any() or (
        ledger["done_ns"] > count.stopped_ns + BUSY_NS + case.excused_ns(count.stopped_ns, ledger["done_ns"])
    ).any():
        yield "ledger.csv holds payments from before ledger.json's start or after its stop."
    # A customer may wait for a connection and for an answer, and then for its turn; all of them at once, in an outage.
    rest_ns = round(2 * plan.load.probe_timeout_s * 1e9) + 5 * SECOND_NS
    at = np.sort(np.concatenate([ledger["sent_ns"].to_numpy(), [count.started_ns, count.stopped_ns]]))
    gap = int(np.diff(at).max())
    start = int(at[int(np.diff(at).argmax())])
    if plan.load.customers and gap > rest_ns + int(case.excused_ns(start, start + gap)):
        yield (
            f"ledger.csv: no customer paid for {gap / 1e9:.1f} s from {case.since_start(start)} on;"
            f" plan.json has {plan.load.customers}"
            " of them, paying all the time."
        )
