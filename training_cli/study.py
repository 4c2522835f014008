"""``napari-myelin-train study``: every table and figure of the paper, cross-validated, from one command."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from pydantic import Field

from napari_myelin.core.errors import UsageError
from napari_myelin.core.events import Event, Skipped, Stopped, StopRequest
from training_cli.arguments import COHORT_HELP, CommonArguments, parse
from training_cli.output import Output, stops_on_interrupt

if TYPE_CHECKING:
    from napari_myelin.core.study.options import Study
    from napari_myelin.core.study.parts import Plan


class StudyArguments(CommonArguments):
    """Compare methods and inputs by cross-validation: tables, figures and a page, as in the paper.

    The study is cut into parts, each a run of one fold; --out keeps what is done, and the same command goes on where
    it was stopped or killed. Tables and figures are made from results.tsv alone: with --results from any such file,
    without a cohort. Research software, not a medical device.
    """

    cohort: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="COHORT")] = Field(
        None, description=COHORT_HELP
    )
    out: Path = Field(description="Folder of the study; the same one goes on with it.")
    options: Path | None = Field(
        None,
        description="study.toml: an options file with a [study] table (methods, inputs, folds, seed); by default the "
        "study that is in --out, else the paper's options.",
    )
    jobs: int = Field(1, ge=1, description="Parts at a time, each in a process of its own.")
    subset: tuple[str, ...] = Field(
        (), description="Only these parts: names of methods, inputs (MTR+RD), folds (fold1) or parts."
    )
    export_slurm: bool = Field(False, description="Write study.sbatch, a SLURM array of the parts, and run nothing.")
    parts_only: bool = Field(False, description="Write no tables and figures, as one of several that run at once.")
    results: Path | None = Field(None, description="Make tables, figures and page from this results.tsv; run nothing.")
    markdown: Path | None = Field(None, description="Write the tables as Markdown to this file too.")
    notes: Path | None = Field(None, description="Markdown to stand before the tables in --markdown.")


def run(argv: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    arguments = parse(StudyArguments, "study", argv)
    output, notes = Output(arguments.quiet, arguments.as_json), _notes(arguments.notes)
    if arguments.results is not None:
        return _report(arguments, output, arguments.results, notes)
    if arguments.cohort is None:
        raise UsageError("give a cohort (study COHORT --out DIR), or a results.tsv with --results")

    from napari_myelin.core.data.cohort import open_cohort
    from napari_myelin.core.study.parts import JOBS, open_plan

    cohort, study = open_cohort(arguments.cohort), _study(arguments)
    write = not (arguments.parts_only and (arguments.out / JOBS).exists())
    plan = open_plan(cohort, study, arguments.out, write=write)
    for note in plan.notes:
        output.warn(note)
    output.say(f"{len(plan.parts)} parts in {len(plan.folds)} folds; {plan.folder / JOBS} has a command for each")
    if arguments.export_slurm:
        from napari_myelin.core.data.volume import write_atomically
        from napari_myelin.core.study.slurm import SLURM, slurm_script

        script = plan.folder / SLURM
        write_atomically(script, slurm_script(plan, plan.chosen(arguments.subset)).encode())
        output.result(script=str(script))
        output.say(f"wrote {script}: sbatch it, then run this command again without --export-slurm")
        return 0
    return _run(arguments, output, plan, notes, argv)


def _study(arguments: StudyArguments) -> Study:
    from napari_myelin.core.options_file import preset
    from napari_myelin.core.study.options import STUDY, Study, read_study

    if arguments.options is not None:
        return read_study(arguments.options)
    started = arguments.out / STUDY
    return read_study(started) if started.exists() else Study(preset("paper"))


def _run(arguments: StudyArguments, output: Output, plan: Plan, notes: str, argv: Sequence[str]) -> int:
    from napari_myelin.core.study.run import RESULTS, run_study
    from training_cli.demo import computer

    stop, seen = StopRequest(), list[Event]()
    said = {"computer": computer(), "command": "napari-myelin-train study " + shlex.join(argv)}
    with stops_on_interrupt(stop, output):
        own: dict[str, Any] = {"jobs": arguments.jobs, "subset": arguments.subset, "table": not arguments.parts_only}
        events = run_study(plan, stop=stop, said=said, **own)
        # how a run or a prediction goes on is not how a study does: that is said below
        output.follow((event for event in events if not isinstance(event, Stopped)), seen)
    failed = [event.subject for event in seen if isinstance(event, Skipped)]
    table = plan.folder / RESULTS
    if not arguments.parts_only and table.exists():
        _report(arguments, output, table, notes, plan)
    if stop:
        output.result(stopped=True)
        output.say("stopped; the same command goes on")
        return 130
    if failed:
        output.error(f"failed: {', '.join(failed)}; the others are done, the same command tries these again")
    return 1 if failed else 0


def _report(arguments: StudyArguments, output: Output, table: Path, notes: str, plan: Plan | None = None) -> int:
    from napari_myelin.core.evaluation.results import read_results
    from napari_myelin.core.report.study_markdown import write_markdown
    from napari_myelin.core.report.study_page import write_study_page

    results = read_results(table)
    pictures = []
    if plan is not None:
        from napari_myelin.core.study.pictures import study_pictures

        pictures = study_pictures(plan, results)
    page = write_study_page(arguments.out, results, pictures)
    if arguments.markdown is not None:
        write_markdown(arguments.markdown, results, notes)
    output.result(table=str(table), page=str(page))
    output.say(f"tables and figures from {table}; to look at: {page}" + (", phantom" if results.phantom else ""))
    output.say("research software, not a medical device")
    return 0


def _notes(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the notes {path}: give a Markdown file") from error
