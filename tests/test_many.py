"""Many runs beside each other: intervals against known truths, counts that prove what they may, nothing left out."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from analysis.comparison import bootstrap, compare, interleaved
from analysis.distribution import Row, distribution, in_so_many, ranks, row_of, share, summary
from analysis.history import history, trend
from harness import repeats
from harness.comparing import turns, variants
from harness.handover import judge_run
from judging.errors import BadInput
from reports.distribution import distribution_page
from tests.synthetic import Scenario, write_run


def run(number: int, rto_s: float | None, *, verdict: str = "PASS", lost: int = 0, faults: int = 1, **values: Any) -> Row:
    return Row(
        run=f"20260115T02{number:04d}Z", drill="center-loss", run_id=f"center-loss-20260115T02{number:04d}Z", verdict=verdict,
        reasons=["a reason"], faults=faults, seed=number, values={"rto_s": rto_s, "lost_transactions": lost, **values},
    )  # fmt: skip


def many(count: int, *, seed: int = 1, mean: float = 22.0, spread: float = 0.5) -> list[Row]:
    draw = random.Random(seed)
    return [run(n, round(draw.gauss(mean, spread), 3)) for n in range(count)]


# What a count proves


def test_none_lost_in_a_hundred_is_fewer_than_three_in_a_hundred() -> None:
    found = distribution(many(100))
    assert found.lost is not None
    assert found.lost.high == pytest.approx(1 - 0.05 ** (1 / 100))
    assert found.proves[0] == "0 lost in 100 faults: fewer than 3 in 100 at 95 %."


@pytest.mark.parametrize(("count", "of"), [(1, 20), (7, 60), (19, 20)])
def test_shares_are_those_of_clopper_and_pearson(count: int, of: int) -> None:
    found = share(count, of)
    assert stats.binom.sf(count - 1, of, found.low) == pytest.approx(0.025)
    assert stats.binom.cdf(count, of, found.high) == pytest.approx(0.025)


def test_a_share_in_words_is_never_better_than_the_share() -> None:
    assert in_so_many(0.02951, up=True) == "3 in 100"
    assert in_so_many(0.003, up=True) == "3 in 1,000"
    assert in_so_many(0.9999, up=False) == "99 in 100"
    assert in_so_many(0.0, up=True) == "0 in 10,000"


def test_a_loss_is_told_with_its_runs_and_payments() -> None:
    rows = [*many(19), run(19, 22.0, verdict="FAIL", lost=3)]
    found = distribution(rows)
    assert found.lost_payments == 3
    assert found.proves[0].startswith("1 of 20 faults lost 3 acknowledged payments: ")


def test_runs_with_several_faults_count_once() -> None:
    assert distribution([run(n, 22.0, faults=2) for n in range(10)]).proves[0].startswith("0 lost in 10 runs:")


def test_invalid_runs_are_shown_and_counted_and_enter_no_figure() -> None:
    rows = [*many(9), run(9, 1.0, verdict="INVALID")]
    found = distribution(rows)
    assert len(found.runs) == 10
    assert found.verdicts == {"PASS": 9, "FAIL": 0, "INVALID": 1}
    assert found.summaries[0].count == 9
    assert found.summaries[0].best is not None
    assert found.summaries[0].best > 20
    assert "1 of 10 runs were INVALID" in found.proves[-1]
    text = repeats.told(found)
    assert rows[9].run in text
    assert "INVALID" in text


def test_nothing_told_proves_nothing() -> None:
    found = distribution([run(0, 22.0, verdict="INVALID")])
    assert found.proves == ["No run of 1 could be told: this proves nothing."]
    assert found.summaries == []


# One figure


@pytest.mark.parametrize("quantile", [0.5, 0.95])
@pytest.mark.parametrize("n", [5, 6, 15, 72, 100])
def test_ranks_are_those_of_the_quantile_test(n: int, quantile: float) -> None:
    low, high = ranks(n, quantile)
    interval: Any = stats.quantile_test(list(range(1, n + 1)), p=quantile).confidence_interval(0.95)
    for rank, theirs in ((low, interval.low), (high, interval.high)):
        assert (rank is None) == (theirs != theirs), "an open side is NaN there"
        assert rank is None or rank == theirs


def test_the_interval_of_the_95th_percentile_holds_it_as_often_as_it_says() -> None:
    truth, held, draw = stats.norm(22, 0.5).ppf(0.95), 0, random.Random(5)
    for _ in range(400):
        found = summary("rto_s", [run(n, draw.gauss(22, 0.5)) for n in range(100)])
        assert found is not None
        assert found.p95_low is not None
        assert found.p95_high is not None
        held += found.p95_low <= truth <= found.p95_high
    assert held / 400 >= 0.93  # 0.95 or more, less three standard errors of 400 draws


def test_few_runs_leave_a_side_open() -> None:
    found = summary("rto_s", many(15))
    assert found is not None
    assert found.p95_high is None
    assert found.median_low is not None
    assert found.p95 == found.worst


def test_a_service_that_never_returned_is_worse_than_any_value() -> None:
    rows = [*many(3), *(run(n, None, verdict="FAIL") for n in range(3, 7))]
    found = summary("rto_s", rows)
    assert found is not None
    assert (found.count, found.never, found.median, found.worst) == (7, 4, None, None)
    assert found.best is not None
    assert "never" in repeats.told(distribution(rows))


def test_of_availability_less_is_worse() -> None:
    found = summary("availability", [run(n, 22.0, availability=0.5 + n / 100) for n in range(20)])
    assert found is not None
    assert (found.best, found.worst, found.p95) == (0.69, 0.5, 0.51)  # 19 of 20 are at least as good


# Compared


def test_a_difference_is_shown_with_its_interval() -> None:
    base, other = distribution(many(15), label="strict"), distribution(many(15, seed=2, mean=25.9), label="quorum")
    found = compare([base, other])
    effect = found.effects[0]
    assert effect.figure == "rto_s"
    assert effect.low is not None
    assert effect.high is not None
    assert effect.low < 3.9 < effect.high
    assert effect.shown
    assert found.sentence.startswith("quorum against strict: RTO 3.")
    assert " s longer (" in found.sentence


def test_no_difference_is_said_to_be_none_shown() -> None:
    found = compare([distribution(many(15), label="a"), distribution(many(15, seed=2), label="b")])
    assert not found.effects[0].shown
    assert found.sentence == "b against a: no difference shown."


def test_equal_groups_are_seldom_told_apart() -> None:
    draw, shown = random.Random(11), 0
    for _ in range(100):
        one, two = ([draw.gauss(22, 0.5) for _ in range(15)] for _ in range(2))
        _, low, high = bootstrap(one, two)
        shown += low > 0 or high < 0
    assert shown <= 11  # 5 expected at most; 12 and more of 100 would be worse than 1 in 200


def test_few_runs_show_no_difference_however_far_apart() -> None:
    found = compare([distribution(many(4), label="a"), distribution(many(4, mean=90), label="b")])
    assert not any(effect.shown for effect in found.effects)
    assert "too few runs (4 and 4" in found.effects[0].told


def test_losses_are_compared_by_fishers_test() -> None:
    losing = [run(n, 22.0, verdict="FAIL", lost=2) for n in range(12)]
    found = compare([distribution(many(15), label="strict"), distribution([*losing, *many(3)], label="off")])
    assert found.losses[0].shown
    assert "12 of 15 runs lost payments, 0 of 15 did with strict" in found.sentence


def test_three_groups_hold_together() -> None:
    groups = [distribution(many(15, seed=n), label=str(n)) for n in range(3)]
    assert compare(groups).effects[0].confidence == pytest.approx(0.975)


def test_groups_in_turns_are_told_from_groups_in_a_row() -> None:
    rows = many(20)
    assert interleaved([rows[0::2], rows[1::2]])
    assert not interleaved([rows[:10], rows[10:]])


def test_values_take_turns_and_seeds_are_the_same() -> None:
    order = turns(["strict", "quorum", "plain"], 7, 3)
    assert [value for value, _, _ in order[:6]] == ["strict", "quorum", "plain", "quorum", "plain", "strict"]
    for value in ("strict", "quorum", "plain"):
        assert [n for v, first, count in order for n in range(first, first + count) if v == value] == list(range(7))


def test_one_setting_has_several_values() -> None:
    assert variants([("synchronous", "strict,quorum"), ("ttl_s", "25")]) == ({"ttl_s": "25"}, "synchronous", ["strict", "quorum"])
    for pairs in ([("ttl_s", "25")], [("a", "1,2"), ("b", "1,2")], [("a", "1,1")], [("a", "1,")]):
        with pytest.raises(BadInput):
            variants(pairs)


# From directories


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs of a drill: a good one, one that lost payments, one that nobody sealed."""
    root = tmp_path_factory.mktemp("runs")
    for name, scenario in (("20260115T020000Z", Scenario()), ("20260115T030000Z", Scenario(lost=4))):
        write_run(root / "center-loss" / name, scenario)
        judge_run(root / "center-loss" / name)
    write_run(root / "center-loss" / "20260115T040000Z")
    (root / "center-loss" / "20260115T040000Z" / "manifest.json").unlink()
    (root / "center-loss" / "latest").symlink_to("20260115T030000Z")
    return root


def test_a_directory_of_runs_is_all_of_them(runs: Path) -> None:
    found = [repeats.row(directory) for directory in repeats.runs_of(runs / "center-loss")]
    assert [row.verdict for row in found] == ["PASS", "FAIL", "INVALID"]
    assert found[1].values["lost_transactions"] == 4
    assert not (runs / "center-loss" / "20260115T040000Z" / "verdict.json").exists(), "a run that may go on is left alone"


def test_a_verdict_of_another_seal_is_not_believed(runs: Path, tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    good = judge_run(tmp_path / "run")[0]
    path = tmp_path / "run" / "verdict.json"
    changed = json.loads(path.read_text())
    changed["measured"]["rto_s"], changed["manifest_sha256"] = 0.1, "0" * 64
    path.write_text(json.dumps(changed))
    assert repeats.row(tmp_path / "run").values["rto_s"] == good.measured.rto_s


def test_files_and_page_of_many_runs(runs: Path) -> None:
    found, page = repeats.write_distribution(repeats.runs_of(runs / "center-loss"))
    data = json.loads((runs / "center-loss" / "20260115T020000Z.distribution.json").read_text())
    assert data["verdicts"] == {"PASS": 1, "FAIL": 1, "INVALID": 1}
    text = page.read_text()
    for row in found.runs:
        assert f'href="{row.run}/report.html"' in text
    assert text.count("<svg") == 2  # wide and narrow
    assert "http" not in text.replace("http-equiv", "").replace("http://www.w3.org", "")
    assert repeats.runs_of(runs / "center-loss" / "20260115T020000Z.distribution.json") == repeats.runs_of(runs / "center-loss")


def test_every_value_is_a_dot_and_invalid_ones_are_hollow() -> None:
    rows = [*many(40), run(40, 5.0, verdict="INVALID")]
    text = distribution_page([distribution(rows)])
    assert text.count('class="hit"') == 2 * 41
    assert "Hollow: 1 INVALID" in text


def test_runs_without_a_value_are_told_on_the_chart() -> None:
    text = distribution_page([distribution([*many(10), run(10, None, verdict="FAIL"), run(11, None, verdict="INVALID")])])
    assert text.count("not drawn, without a value: 2") == 2  # wide and narrow


def test_the_page_of_a_comparison_says_the_sentence() -> None:
    rows = many(15) + [run(n + 15, row.values["rto_s"] or 0.0 + 4) for n, row in enumerate(many(15))]
    found = compare([distribution(rows[:15], label="strict"), distribution(rows[15:], label="quorum")])
    text = distribution_page(found.groups, found)
    assert found.sentence in text
    assert "not run in turns" in text
    assert distribution_page(found.groups, found) == text


# History


def test_history_leaves_nothing_out(runs: Path) -> None:
    found = history([repeats.row(directory) for directory in repeats.all_runs(runs)])
    assert [one.drill for one in found] == ["center-loss"]
    assert found[0].verdicts == {"PASS": 1, "FAIL": 1, "INVALID": 1}
    text = repeats.past(found)
    assert "✓✕△" in text
    assert "never sealed" in text


def test_a_trend_is_told_where_it_is_shown() -> None:
    assert trend([run(n, 20 + n / 5) for n in range(12)], "rto_s").word == "rising"
    assert trend(many(12), "rto_s").word == "none shown"
    assert trend([run(n, 20.0 + n) for n in range(7)], "rto_s").word == "none shown"


def test_a_row_takes_what_its_version_has() -> None:
    verdict = {
        "drill": "d",
        "run_id": "d-1",
        "verdict": "FAIL",
        "reasons": ["r"],
        "faults": [],
        "seed": 1,
        "measured": {"rto_s": 3.0},
    }
    row = row_of(verdict, "1")
    assert (row.values["rto_s"], row.values["phases.detect_s"]) == (3.0, None)
