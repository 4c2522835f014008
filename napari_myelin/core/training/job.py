"""A training as a job for another machine: the exact command, its options, a SLURM script."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.data.volume import write_atomically
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.options import Options, RuntimeOptions
from napari_myelin.core.options_file import to_toml
from napari_myelin.core.training.names import OPTIONS

COMMAND = "train.sh"
SLURM = "train.slurm"

SHELL_SCRIPT = """\
#!/bin/sh
# {title}
# To go on with a run that was stopped: sh {name} --resume
set -eu
exec {command} "$@"
"""

SLURM_SCRIPT = """\
#!/bin/bash
# {title}
# Edit time, memory and cores for your cluster; then: sbatch {name}
# Submit it again to go on with a run that was stopped or ran out of time.
#SBATCH --job-name=myelin
#SBATCH --nodes={nodes}
#SBATCH --ntasks-per-node={devices}
{gpus}#SBATCH --cpus-per-task=4
#SBATCH --mem=32G
#SBATCH --time=24:00:00
#SBATCH --output=myelin-%j.log
#SBATCH --signal=TERM@120
set -euo pipefail

# two minutes before its time is over the run gets a TERM: it saves and stops
resume=""
if [ -e {run_options} ]; then
    resume=--resume
fi
# where one task ends badly, none is left waiting for it
exec srun --kill-on-bad-exit=1 {command} ${{resume:+"$resume"}}
"""


@dataclass(frozen=True)
class ExportedJob:
    """Files of a job: the options, a shell script with the ``command``, a SLURM script."""

    options: Path
    script: Path
    slurm: Path
    command: str


def fit_command(cohort: Path, options: Path, run: Path) -> list[str]:
    """Return the words of the command that trains with an options file.

    Parameters
    ----------
    cohort
        Folder or table.
    options
        TOML file.
    run
        Run folder, to be made.
    """
    return ["napari-myelin-train", "fit", str(cohort), "--options", str(options), "--out", str(run)]


def slurm_script(command: list[str], run: Path, runtime: RuntimeOptions) -> str:
    """Return a script for ``sbatch`` that runs a command once for each device, and resumes where a run is there.

    Parameters
    ----------
    command
        As `fit_command`.
    run
        Its run folder.
    runtime
        Devices and nodes to ask for; GPUs unless the device is the CPU.
    """
    return SLURM_SCRIPT.format(
        title=_title(run),
        name=SLURM,
        nodes=runtime.num_nodes,
        devices=runtime.devices,
        gpus="" if runtime.device == "cpu" else f"#SBATCH --gpus-per-node={runtime.devices}\n",
        run_options=shlex.quote(str(run / OPTIONS)),
        command=shlex.join(command),
    )


def export_job(folder: Path, cohort: Cohort, options: Options, run: Path) -> ExportedJob:
    """Write what another process or machine needs to do the same training.

    Parameters
    ----------
    folder
        Made if it is missing; what it exported before is replaced.
    cohort
        Must be on disk; paths in the files are absolute.
    options
        All that decides the run.
    run
        Run folder that the training will make.

    Raises
    ------
    MyelinError
        If the cohort is not on disk, or the folder cannot be written to.
    """
    if not cohort.root.exists():
        raise MyelinError(f"there is no cohort at {cohort.root}: a job needs one on disk, a folder or a cohort.tsv")
    folder, run = folder.absolute(), run.absolute()
    job_options, script, slurm = folder / OPTIONS, folder / COMMAND, folder / SLURM
    if folder == run:
        raise MyelinError(f"{folder} is the run folder, which the training makes itself: export to another folder")
    command = fit_command(cohort.root.absolute(), job_options, run)
    text = SHELL_SCRIPT.format(title=_title(run), name=COMMAND, command=shlex.join(command))
    write_atomically(job_options, to_toml(options).encode())
    write_atomically(script, text.encode())
    write_atomically(slurm, slurm_script(command, run, options.runtime).encode())
    return ExportedJob(job_options, script, slurm, shlex.join(command))


def _title(run: Path) -> str:
    # a line break in a path would end the comment
    return "Trains a myelin model into " + str(run).replace("\n", " ")
