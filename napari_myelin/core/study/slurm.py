"""A study as a SLURM array: a task a part."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from napari_myelin.core.study.parts import Part, Plan

SCRIPT = """\
#!/bin/bash
# One task a part; edit time, memory and cores for your cluster, then: sbatch {name}
# Submit it again to go on with the parts that were cut off. When all are done, for tables, figures and page:
#   {whole}
#SBATCH --job-name=myelin-study
#SBATCH --array=0-{last}
#SBATCH --ntasks=1
{gpus}#SBATCH --cpus-per-task=4
#SBATCH --mem=32G
#SBATCH --time=24:00:00
#SBATCH --output={log}
#SBATCH --signal=TERM@120
set -euo pipefail

# two minutes before its time is over a part gets a TERM: it saves and stops
parts=({parts})
exec srun {whole} --parts-only --subset "${{parts[$SLURM_ARRAY_TASK_ID]}}"
"""
SLURM = "study.sbatch"


def slurm_script(plan: Plan, parts: Sequence[Part]) -> str:
    """Return a SLURM array script, a task a part; afterwards ``study`` once more makes tables, figures and page.

    Parameters
    ----------
    plan
        Of the study; its folder must be seen by every node.
    parts
        Which are to run, one or more. Each asks for a GPU unless the study's device is the CPU.
    """
    cpu = plan.study.options.runtime.device == "cpu" or all(part.kind != "network" for part in parts)
    return SCRIPT.format(
        name=SLURM,
        last=len(parts) - 1,
        gpus="" if cpu else "#SBATCH --gpus-per-node=1\n",
        log=shlex.quote(str(plan.folder.absolute() / "slurm-%a.log")),
        parts=" ".join(shlex.quote(part.name) for part in parts),
        whole=shlex.join(plan.whole),
    )
