"""Entry point of ``napari-myelin-train``: finds the command, imports only that one."""

from __future__ import annotations

import difflib
import importlib
import sys
import traceback
from collections.abc import Sequence

COMMANDS = {
    "phantom": "write a simulated cohort whose myelin is known",
    "check": "say what a cohort holds and what is wrong with it",
    "fit": "train a model on a cohort",
    "predict": "predict DVR maps of a cohort's subjects with one model or several",
    "evaluate": "compare predictions with measured DVR maps",
    "study": "compare methods and inputs by cross-validation: the paper's tables and figures",
    "prepare": "make a cohort of raw BIDS: MTR, diffusion and DVR maps, masks, transforms",
    "prepare-mtr": "an MTR map from an image with and one without MT pulse",
    "prepare-dti": "FA, MD, RD and AD maps from a diffusion-weighted series",
    "prepare-dvr": "a DVR map from a dynamic PET",
    "prepare-brain": "brain mask and bias field of a T1w",
    "prepare-wm": "white-matter mask of a T1w, lesions filled",
    "prepare-ratio": "ratio of T1w and T2w",
    "prepare-register": "an image brought to another's grid, masks with it",
    "prepare-template": "transforms from a T1w to the MNI template and back",
    "demo": "all of it on a small phantom, ending in a page to read",
    "info": "print a model's card",
}

WIDTH = max(map(len, COMMANDS))

HELP = """usage: napari-myelin-train [-h] [--version] COMMAND ...

Myelin maps (PET distribution volume ratio, DVR) from multimodal MRI.
Research software, not a medical device.

commands:
{commands}

napari-myelin-train COMMAND --help shows a command's arguments.
Exit codes: 0 good, 1 something asked for could not be done, 2 wrong usage, 130 stopped.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Parameters
    ----------
    argv
        Words after the program's name; ``sys.argv`` by default.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        print(HELP.format(commands="\n".join(f"  {name:<{WIDTH}} {text}" for name, text in COMMANDS.items())), end="")
        return 0 if words else 2
    if words[0] == "--version":
        from napari_myelin import __version__

        print(f"napari-myelin {__version__}")
        return 0
    if words[0] not in COMMANDS:
        near = difflib.get_close_matches(words[0], COMMANDS, n=1)
        meant = f', did you mean "{near[0]}"?' if near else ""
        print(f'error: no command "{words[0]}"{meant} The commands are {", ".join(COMMANDS)}.', file=sys.stderr)
        return 2
    return _run(words[0], words[1:])


def _run(command: str, words: list[str]) -> int:
    from napari_myelin.core.errors import MyelinError

    try:
        module = importlib.import_module(f"training_cli.{command.replace('-', '_')}")
        code: int = module.run(words)
        return code
    except MyelinError as error:
        code, sentence, trace = error.exit_code, f"error: {error}", traceback.format_exc()
    except KeyboardInterrupt:
        code, sentence, trace = 130, "stopped", traceback.format_exc()
    except BrokenPipeError:
        sys.stderr.close()  # the reader went away (| head); nothing is left to say
        return 0
    except Exception as error:
        sentence = f"error: {type(error).__name__}: {error} (a bug; --debug shows where)"
        code, trace = 1, traceback.format_exc()
    print(sentence, file=sys.stderr)
    if "--debug" in words:
        print(trace, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
