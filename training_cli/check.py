"""``napari-myelin-train check``: say what a cohort holds and what is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

from pydantic import Field
from rich.table import Table

from training_cli.arguments import COHORT_HELP, CohortPath, CommonArguments, parse
from training_cli.output import Output


class CheckArguments(CommonArguments):
    """Say, subject by subject, what is there, on which grid, in which range, and what to do about what is wrong.

    Exit code 0 if every subject can be used, 1 if something has to be repaired.
    """

    cohort: CohortPath = Field(description=COHORT_HELP)
    modalities: tuple[str, ...] = Field(
        (), description="Maps that every subject must have; by default those that most subjects have."
    )


def run(argv: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    arguments = parse(CheckArguments, "check", argv)

    from napari_myelin.core.data.check import check_cohort, cohort_findings, target_finding, usual_modalities
    from napari_myelin.core.data.cohort import open_cohort

    output = Output(arguments.quiet, arguments.as_json)
    cohort = open_cohort(arguments.cohort)
    wanted = arguments.modalities or usual_modalities(cohort)
    groups = Counter(subject.group or "no group" for subject in cohort.subjects)
    counts = ", ".join(f"{count} {group}" for group, count in sorted(groups.items()))
    output.say(f"{cohort.root}: {len(cohort.subjects)} subjects ({counts}); expecting {', '.join(wanted) or 'no map'}")
    general = cohort_findings(cohort)
    output.result(cohort=str(cohort.root), modalities=wanted, findings=[asdict(each) for each in general])
    for finding in general:
        output.say(f"  {finding.level}: {finding.text}")
    wrong, reports = 0, []
    for report in check_cohort(cohort, wanted):
        reports.append(report)
        output.result(**asdict(report))
        output.say(f"\n{report.subject} ({report.group or 'no group'})")
        output.show(_table(report.maps))
        for finding in report.findings:
            output.say(f"  {finding.level}: {finding.text}")
        wrong += any(finding.level == "error" for finding in report.findings)
    if wrong:
        output.error(f"{wrong} of {len(cohort.subjects)} subjects cannot be used as they are")
        return 1
    if together := target_finding(reports):
        output.result(findings=[asdict(together)])
        if together.level == "error":
            output.error(together.text)
            return 1
        output.say(f"\n{together.level}: {together.text}")
    output.say("\nevery subject can be used")
    return 0


def _table(maps: Sequence[object]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 1))
    for name in ("map", "shape", "mm", "axes", "lowest", "median", "highest", "voxels"):
        table.add_column(name, justify="left" if name == "map" else "right", no_wrap=True)
    for each in maps:
        row = asdict(each)  # type: ignore[call-overload]
        shape = "x".join(map(str, row["shape"]))
        edges = [f"{edge:.3g}" for edge in row["spacing"]]
        spacing = edges[0] if len(set(edges)) == 1 else "x".join(edges)
        numbers = [f"{row[name]:.4g}" for name in ("low", "median", "high")]
        table.add_row(row["role"], shape, spacing, row["orientation"], *numbers, str(row["voxels"]))
    return table
