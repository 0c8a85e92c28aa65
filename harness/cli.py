"""The command line. Heavy imports wait until a command needs them: `--help` and `list` answer in a quarter of a second."""

from __future__ import annotations

import contextlib
import json
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.drill import catalogue, load_drill
from judging.errors import BadInput, CouldNotStart, DrillbookError

if TYPE_CHECKING:
    from judging.judge import Verdict

RUNS = Path("runs")
FIRST_TOPOLOGY = "two-region-three-center"
NEEDED_BY_DRILLS = {"docker", "locust", "psycopg", "requests", "rich", "testcontainers"}  # the extra in pyproject.toml


class Commands(click.Group):
    """Turns our errors into one line and their exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except DrillbookError as error:
            click.echo(f"drillbook: {error}", err=True)
            sys.exit(error.exit_code)
        except (KeyboardInterrupt, click.Abort):
            click.echo("drillbook: interrupted", err=True)
            sys.exit(130)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except OSError as error:
            click.echo(f"drillbook: {error}", err=True)
            sys.exit(CouldNotStart.exit_code)
        except Exception as error:  # exit code 1 is FAIL: what nobody foresaw must not look like one
            if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in NEEDED_BY_DRILLS:
                click.echo(f"drillbook: {error.name} is not installed here: pip install 'drillbook[drills]'", err=True)
                sys.exit(CouldNotStart.exit_code)
            traceback.print_exc()
            click.echo(f"drillbook: unexpected {type(error).__name__}: {error}", err=True)
            sys.exit(DrillbookError.exit_code)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="drillbook")
def main() -> None:
    """Disaster-recovery drills on real replicated databases, with evidence that anyone can recompute.

    Exit codes of run and judge: 0 PASS, 1 FAIL, 2 INVALID (could not be told), 3 could not start, 130 interrupted and healed.
    """


def settings_of(pairs: tuple[str, ...]) -> dict[str, str]:
    settings = {}
    for pair in pairs:
        name, found, value = pair.partition("=")
        if not found:
            raise BadInput(f"--set: expected NAME=VALUE, such as synchronous=quorum; seen {pair!r}")
        settings[name] = value
    return settings


SETTING = click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Change a setting of the topology.")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


@main.command("list")
@AS_JSON
def list_drills(as_json: bool) -> None:
    """The drills, with the claim that each proves."""
    drills = catalogue()
    if as_json:
        click.echo(json.dumps([{"drill": name, "claim": claim} for name, claim in drills.items()], indent=2))
        return
    width = max(map(len, drills), default=0)
    for name, claim in drills.items():
        click.echo(f"{name:<{width}}  {claim}")


@main.command()
@click.argument("drill")
@SETTING
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Where the body is drawn by it.")
def plan(drill: str, settings: tuple[str, ...], seed: int) -> None:
    """What DRILL would do, step by step: body, topology, load and targets, as JSON. Starts nothing."""
    found = load_drill(drill)
    try:
        topology = found.topology(**settings_of(settings))
    except ValueError as error:
        raise BadInput(str(error)) from error
    from harness.rehearsal import CannotRehearse, rehearse
    from runtime.manager import check_managers

    try:
        check_managers(topology)
    except ValueError as error:
        raise BadInput(str(error)) from error
    try:
        body = [one.model_dump() for one in rehearse(found.body, topology, seed=seed)]
    except CannotRehearse as error:
        raise BadInput(f"{drill}: {error}") from error
    described = {
        "drill": found.name,
        "claim": found.claim,
        "body": body,
        "targets": found.targets.model_dump(),
        "load": found.load.model_dump(),
        "topology": topology.to_json(),
    }
    click.echo(json.dumps(described, indent=2, ensure_ascii=False))


@main.command()
@click.argument("drills", nargs=-1, required=True)
@click.option(
    "--repeat", default=1, show_default=True, type=click.IntRange(min=1), help="Run each drill N times, report them all."
)
@click.option(
    "--cycles", default=1, show_default=True, type=click.IntRange(min=1), help="Run each drill N times on one topology."
)
@click.option("--seed", type=int, help="Of all random choices; drawn and recorded when left out.")
@click.option("--warm", is_flag=True, help="Drills that ask for the same topology follow each other on one.")
@click.option("--keep", is_flag=True, help="Leave the topology standing afterwards (end it with 'down').")
@click.option(
    "--port", default=0, type=click.IntRange(0, 65535), help="Of the front door on 127.0.0.1; any free one when left out."
)
@click.option("--workers", type=click.IntRange(min=0), help="Locust workers among whom the customers are dealt; 0: none.")
@SETTING
@AS_JSON
def run(
    drills: tuple[str, ...],
    repeat: int,
    cycles: int,
    seed: int | None,
    warm: bool,
    keep: bool,
    port: int,
    workers: int | None,
    settings: tuple[str, ...],
    as_json: bool,
) -> None:
    """Run DRILLS one after the other. Ends with the worst verdict's exit code."""
    found = [load_drill(name) for name in drills]
    if keep and repeat * len(found) > 1:
        raise BadInput("--keep leaves one topology standing: use it with one drill and without --repeat")
    from harness.cycles import run_cycles, run_warm
    from harness.runner import INTERRUPTED_EXIT, Options, Result, run_drill

    options = Options(runs=RUNS, seed=seed, keep=keep, port=port, settings=dict(settings_of(settings)), workers=workers)
    results: list[Result] = []
    with quiet(as_json):
        if warm:
            results = run_warm([drill for drill in found for _ in range(repeat * cycles)], options, tell=click.echo)
        for drill in (drill for drill in found for _ in range(repeat) if not warm):
            results += run_cycles(drill, options, cycles, tell=click.echo) if cycles > 1 else [run_drill(drill, options)]
            if results[-1].exit_code in (CouldNotStart.exit_code, INTERRUPTED_EXIT):
                break
    show_many([result.directory for result in results], as_json=as_json)
    sys.exit(max(r.exit_code for r in results))


def quiet(as_json: bool) -> contextlib.AbstractContextManager[object]:
    """With --json, what people read while it runs goes to standard error."""
    return contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext()


def show_many(directories: list[Path], *, as_json: bool) -> None:
    """Of each drill that ran more than once: every value and what it proves, here and as files; as JSON, of every drill."""
    from harness.repeats import told, write_distribution

    by_drill: dict[Path, list[Path]] = {}
    for directory in directories:
        by_drill.setdefault(directory.parent, []).append(directory)
    shown = [write_distribution(runs) for runs in by_drill.values() if len(runs) > 1 or as_json]
    if as_json:
        click.echo(json.dumps([found.model_dump(mode="json", by_alias=True) for found, _ in shown], indent=2))
        return
    for found, page in shown:
        click.echo(f"\n{told(found)}\nEvery value: {page}")


@main.command()
@click.argument("run_directory", metavar="RUN", type=click.Path(path_type=Path))
@AS_JSON
def judge(run_directory: Path, as_json: bool) -> None:
    """Judge RUN again from its files alone: the same files give the same verdict, byte for byte."""
    from harness.handover import judge_run, sentence_of
    from judging.judge import EXIT_CODES

    verdict, measurement = judge_run(run_directory)
    if as_json:
        click.echo((run_directory / "verdict.json").read_text(encoding="utf-8"), nl=False)
    else:
        show(verdict, sentence_of(measurement, verdict))
    sys.exit(EXIT_CODES[verdict.verdict])


def show(verdict: Verdict, sentence: str) -> None:
    click.echo(f"{verdict.verdict}  {sentence}")
    for reason in verdict.reasons:
        click.echo(f"  - {reason}")


@main.command()
@click.argument("run_directory", metavar="RUN", type=click.Path(path_type=Path))
def report(run_directory: Path) -> None:
    """Render RUN's report again from its files alone."""
    from harness.handover import report_run

    click.echo(report_run(run_directory))


@main.command()
@click.argument("run_directory", metavar="RUN", type=click.Path(path_type=Path))
@AS_JSON
def explain(run_directory: Path, as_json: bool) -> None:
    """Why RUN got its verdict: the lines of evidence that carry it, and what would have changed it. Writes nothing."""
    from analysis.explain import explain as explain_run
    from harness.handover import recompute
    from harness.repeats import explained

    evidence, verdict, measurement = recompute(run_directory)
    found = explain_run(evidence, measurement, verdict)
    click.echo(found.model_dump_json(indent=2) if as_json else explained(found))


@main.command()
@AS_JSON
def history(as_json: bool) -> None:
    """All runs below runs/, by drill, with what became of each and the trend."""
    from analysis.history import history as history_of
    from harness.repeats import all_runs, past, row

    found = history_of([row(directory) for directory in all_runs(RUNS)])
    click.echo(json.dumps([one.model_dump(mode="json") for one in found], indent=2) if as_json else past(found))


@main.command()
@click.argument("run_directory", metavar="RUN", type=click.Path(path_type=Path))
@click.option(
    "--verifier", type=click.Path(path_type=Path), metavar="FILE", help="Another second verifier than ours, such as your own."
)
@AS_JSON
def verify(run_directory: Path, verifier: Path | None, as_json: bool) -> None:
    """Judge RUN by two programs that share no code, and say where they differ. Ends with 0 when they agree, else with 1."""
    from harness.verification import SECOND_VERIFIER
    from harness.verification import verify as verify_run

    found = verify_run(run_directory, verifier or SECOND_VERIFIER)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2, ensure_ascii=False))
    else:
        word = "agree" if found.agree else "DIFFER"
        click.echo(f"{word}: {found.verdict} and {found.second_verdict}; {len(found.compared)} figures compared")
        for one in found.differences:
            click.echo(f"  - {one.what}: the judge says {one.ours}; the second says {one.theirs}")
        if found.alone:
            click.echo(f"  given by one of them alone: {', '.join(found.alone)}")
    sys.exit(0 if found.agree else 1)


@main.command()
@click.argument("what", metavar="A B … | DRILL", nargs=-1, required=True)
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=V1,V2", help="With DRILL: the setting to compare; others as in run."
)
@click.option("--faults", default=15, show_default=True, type=click.IntRange(min=0), help="With DRILL: runs under each value.")
@click.option(
    "--per-start", default=5, show_default=True, type=click.IntRange(min=1), help="With DRILL: runs on one topology in a turn."
)
@click.option("--seed", type=int, help="With DRILL: of its first run; the same seeds under each value.")
@click.option(
    "--managers",
    metavar="all|NAME,NAME",
    help="Run DRILLs on each manager, in turns, then show the table of all such runs.",
)
@AS_JSON
def compare(
    what: tuple[str, ...],
    settings: tuple[str, ...],
    faults: int,
    per_start: int,
    seed: int | None,
    managers: str | None,
    as_json: bool,
) -> None:
    """Hold runs, or directories of runs, against the first of them; or run DRILL under several values of a setting, in turns.

    With --managers: run each DRILL on each manager; --faults 0 runs nothing and puts the table over what is there.
    """
    if managers is not None:
        sys.exit(compare_managers(what, managers, settings, faults, per_start, seed, as_json=as_json))
    if not faults:
        raise BadInput("--faults: expected 1 or more; seen 0, which is for --managers alone")
    from analysis.comparison import compare as compare_groups
    from harness.repeats import compared, labelled, runs_of, write_comparison

    stopped = 0
    if settings:
        groups, stopped = run_variants(what, settings, faults, per_start, seed, as_json=as_json)
        directory, stamp = groups[0][1][0].parent, groups[0][1][0].name
    else:
        if len(what) < 2:
            raise BadInput("compare: expected two runs or more, or a drill with --set NAME=V1,V2")
        groups = [(name, runs_of(Path(name))) for name in what]
        directory, stamp = RUNS / "compared", f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    found = compare_groups(labelled(groups))
    page = write_comparison(found, directory, stamp)
    click.echo(found.model_dump_json(indent=2, by_alias=True) if as_json else f"{compared(found)}\nPicture: {page}")
    sys.exit(stopped)


def compare_managers(
    what: tuple[str, ...], chosen: str, settings: tuple[str, ...], faults: int, per_start: int, seed: int | None, *, as_json: bool
) -> int:
    """Run what is asked for, show the table and write its page. Returns the exit code."""
    from harness import league
    from harness.runner import Options

    names, drills = league.chosen(chosen), [load_drill(name) for name in what]
    if "manager" in settings_of(settings):
        raise BadInput("--managers names the managers: leave --set manager=… out")
    options = Options(runs=RUNS, seed=seed, settings=dict(settings_of(settings)), interactive=False if as_json else None)
    with quiet(as_json):
        stopped = league.run_league(drills, options, names, faults=faults, per_start=per_start, tell=click.echo)
    found = league.table(drills, options, names, RUNS)
    page = league.write_league(found, RUNS, f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
    click.echo(found.model_dump_json(indent=2, by_alias=True) if as_json else f"\n{league.told(found)}\nPage: {page}")
    return stopped


def run_variants(
    what: tuple[str, ...], settings: tuple[str, ...], faults: int, per_start: int, seed: int | None, *, as_json: bool
) -> tuple[list[tuple[str, list[Path]]], int]:
    """The runs under each value; every value has at least one, or the comparison could not start."""
    if len(what) != 1:
        raise BadInput(f"compare --set: expected one drill; seen {', '.join(what)}")
    drill = load_drill(what[0])
    from harness.comparing import run_compared, variants
    from harness.runner import Options

    pairs = list(settings_of(settings).items())
    common, name, values = variants(pairs)
    options = Options(runs=RUNS, seed=seed, settings=dict(common), interactive=False if as_json else None)

    with quiet(as_json):
        found, stopped = run_compared(drill, options, name, values, faults=faults, per_start=per_start, tell=click.echo)
    groups = [(f"{name}={value}", runs) for value, runs in found.items()]
    if not all(runs for _, runs in groups):
        sys.exit(stopped)
    return groups, stopped


@main.command()
@click.argument("topology", default=FIRST_TOPOLOGY)
@SETTING
@AS_JSON
def coverage(topology: str, settings: tuple[str, ...], as_json: bool) -> None:
    """The map of TOPOLOGY: every fault on every victim, what is expected of it, and what runs told. Runs nothing."""
    from harness.coverage import covered, told, write_coverage

    found = covered(topology, settings_of(settings), RUNS)
    page = write_coverage(found, RUNS, f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
    click.echo(found.model_dump_json(indent=2, by_alias=True) if as_json else f"{told(found)}\n\nPage: {page}")


@main.command()
@click.argument("topology", default=FIRST_TOPOLOGY)
@SETTING
@AS_JSON
def suggest(topology: str, settings: tuple[str, ...], as_json: bool) -> None:
    """What to drill next on TOPOLOGY: the cells of its map whose outcome is least known. Runs nothing."""
    from harness.coverage import covered, proposed, suggestions

    changed = settings_of(settings)
    found = suggestions(covered(topology, changed, RUNS), topology, changed)
    click.echo(json.dumps([one.model_dump(mode="json") for one in found], indent=2) if as_json else proposed(found))


@main.command()
@AS_JSON
def doctor(as_json: bool) -> None:
    """Whether this machine can run drills, and what would be missing."""
    from harness.doctor import examine

    findings = examine()
    if as_json:
        click.echo(json.dumps([f.__dict__ for f in findings], indent=2))
    else:
        for finding in findings:
            click.echo(f"{finding.mark}  {finding.subject}: {finding.text}")
    sys.exit(3 if any(f.state == "missing" for f in findings) else 0)


@main.command()
def prepare() -> None:
    """Pull or build the images now, so that a drill need not."""
    from runtime import engine, images

    try:
        found = images.ensure(engine.connect(), lambda text: click.echo(f"images: {text}"))
    except (engine.EngineError, images.ImageError) as error:
        raise CouldNotStart(str(error)) from error
    except engine.REFUSALS as error:
        raise CouldNotStart(engine.brief(error)) from error
    click.echo(f"images: {found.node} and {found.link} are there")


@main.command()
@click.argument("topology", default=FIRST_TOPOLOGY)
@click.option(
    "--port", default=0, type=click.IntRange(0, 65535), help="Of the front door on 127.0.0.1; any free one when left out."
)
@SETTING
def up(topology: str, port: int, settings: tuple[str, ...]) -> None:
    """Stand TOPOLOGY up and leave it standing, to hold it in one's hands."""
    from harness.hold import stand_up

    cluster = stand_up(topology, settings_of(settings), runs=RUNS, port=port, progress=click.echo)
    click.echo(f"{cluster.run_id} stands; its front door is {cluster.door_url}")
    click.echo("try: drillbook inject NodeKilled primary; drillbook status; drillbook heal; drillbook down")


@main.command()
@AS_JSON
def status(as_json: bool) -> None:
    """What stands now, also while a drill runs."""
    from harness.hold import status_of_all

    found = status_of_all()
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    if not found:
        click.echo("nothing stands")
    for one in found:
        faults = ", ".join(f"{f['name']} on {f['target']}" for f in one["faults"]) or "no fault"
        if one.get("error"):
            click.echo(f"{one['run_id']}  {one['error']}")
            continue
        down = f"  down: {', '.join(one['down'])}" if one["down"] else ""
        down += f"  left by a run that is over: 'drillbook down {one['run_id']}' removes it" if one["state"] == "left" else ""
        click.echo(f"{one['run_id']}  {one['topology']}  door {one['door']}  primary {one['primary'] or 'none'}  {faults}{down}")


RUN_ID = click.option("--run", "run_id", metavar="RUN_ID", help="Which topology, when several stand.")


@main.command()
@click.argument("fault")
@click.argument("target")
@click.option("--for", "for_s", type=click.FloatRange(min=0), metavar="SECONDS", help="Heal again after this long.")
@click.option("--set", "given", multiple=True, metavar="NAME=VALUE", help="More of the fault's arguments.")
@RUN_ID
def inject(fault: str, target: str, for_s: float | None, given: tuple[str, ...], run_id: str | None) -> None:
    """Inject FAULT on TARGET of a topology that 'up' or 'run --keep' left standing, such as 'inject LinkBlackholed dc1<->dc2'."""
    from harness.hold import inject_by_hand

    inject_by_hand(fault, target, given=settings_of(given), for_s=for_s, run_id=run_id, say=click.echo)


@main.command()
@RUN_ID
def heal(run_id: str | None) -> None:
    """Heal every fault that was injected and not healed. Safe to run again."""
    from harness.hold import heal_by_hand

    heal_by_hand(run_id, say=click.echo)


@main.command()
@click.argument("run_id", required=False)
def down(run_id: str | None) -> None:
    """Take a topology down: all its containers, networks and volumes."""
    from harness.hold import take_down

    take_down(run_id, say=click.echo)


@main.command()
def clean() -> None:
    """Remove everything that carries our label, of every run, and nothing else."""
    from harness.hold import clean_all

    clean_all(say=click.echo)
