"""Records of a run that different programs wrote, held against each other: what contradicts is a doubt.

Each rule is a function that takes a `Case` and yields what contradicts, in words that name both records; its name is the
name of the rule. A rule is used when it stands in RULES. Tolerances are for busy machines, each with its reason beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from judging.crosschecks import bank, door, durability, edges, faults, lines, nodes, reads, restores, schedule, story, witness
from judging.crosschecks.case import Case
from judging.records import DAMAGE, Records

Rule = Callable[[Case], Iterator[str]]

RULES: tuple[Rule, ...] = (
    schedule.numbered_keys,
    schedule.schedule_adds_up,
    schedule.patience_is_kept,
    schedule.drawn_from_the_seed,
    schedule.customers_keep_paying,
    reads.reads_follow_the_looks,
    door.door_counted,
    door.door_told_the_same,
    door.door_saw_every_answer,
    door.door_agrees_on_time,
    bank.committed_when_told,
    bank.committed_by_a_primary,
    bank.dead_disks_and_ledgers,
    bank.same_commit_on_every_copy,
    bank.every_dead_primary_was_opened,
    bank.log_ends_on_the_dead_disk,
    bank.receipts_cover_what_stands,
    edges.edges_told_the_same,
    edges.edges_authorise_while_cut_off,
    edges.edges_sync_what_they_acknowledge,
    faults.effect_follows_from_the_target,
    faults.proof_is_of_its_kind,
    faults.victims_fell_silent,
    faults.who_was_replaced_was_gone,
    faults.logs_resume_with_the_heal,
    faults.nobody_else_was_down,
    faults.fault_came_before_its_effect,
    faults.order_before_the_first_fault,
    faults.reach_shows_the_cut,
    faults.cut_ended_replication,
    faults.damage_is_where_the_fault_was,
    lines.lines_are_as_narrow_as_named,
    nodes.topology_was_watched,
    nodes.primaries_were_sampled,
    nodes.leaders_wrote_it_down,
    nodes.primary_changes_belong_to_faults,
    nodes.no_answer_without_a_primary,
    nodes.samples_go_on,
    nodes.samples_are_dense,
    nodes.synchronous_as_named,
    restores.restores_are_told,
    restores.restores_are_as_told,
    durability.durability_was_told,
    durability.power_loss_was_provided_for,
    story.clocks_agree,
    story.all_lies_between_plan_and_seal,
    story.story_is_whole,
    story.loads_ran_as_told,
    story.waits_are_as_long_as_told,
    story.injection_is_as_told,
    story.proofs_came_after,
    story.baseline_is_as_planned,
    story.targets_follow_from_their_basis,
    witness.witness_is_gapless,
    witness.witness_rows_add_up,
    witness.stalls_were_felt,
)


@dataclass(frozen=True)
class Contradiction:
    """What a rule found; `words` name both records."""

    rule: str
    words: str


def contradictions(records: Records) -> list[Contradiction]:
    """Everything that contradicts, rule by rule. What a rule needs and the run lacks is a doubt elsewhere."""
    case = Case(records)
    return [Contradiction(rule.__name__, words) for rule in RULES for words in _asked(rule, case)]


def _asked(rule: Rule, case: Case) -> list[str]:
    try:
        return list(rule(case))
    except (*DAMAGE, AttributeError, AssertionError, ArithmeticError) as error:
        # A record of an unforeseen shape was not held against anything: that must not pass for agreement.
        return [f"Records could not be held against each other ({rule.__name__}): {type(error).__name__}."]


def hold_against_each_other(records: Records) -> None:
    """Every contradiction becomes a doubt."""
    for found in contradictions(records):
        records.doubt(found.words)
