"""What a study is made of before anything runs: options, parts, subsets, SLURM."""

from __future__ import annotations

import os
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from commands import call, only_error, shellcheck

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.errors import UsageError
from napari_myelin.core.options_file import options_from, preset
from napari_myelin.core.study.methods import Method, known_methods, method_options
from napari_myelin.core.study.options import Study, StudyOptions, check_same_study, read_study
from napari_myelin.core.study.parts import Plan, open_plan
from napari_myelin.core.study.slurm import slurm_script

ALL = "MTR+FA+RD+AD"


@pytest.fixture
def plan(phantom_cohort: Cohort, tmp_path: Path) -> Plan:
    methods = ("linear", "boosting", "two_layer", "unet", "unet_weighted")
    methods += ("sketcher", "sketcher_weighted", "refiner", "refiner2", "refiner3")
    own = StudyOptions(folds=2, ceiling_patients=3, inputs=("MTR", "MTR+RD"), methods=methods)
    return open_plan(phantom_cohort, Study(preset("demo"), own), tmp_path / "out")


def test_methods_are_option_sets_over_what_all_share() -> None:
    base, methods = preset("demo"), known_methods()
    options = {
        name: method_options(methods[name], base, "MTR+RD") for name in methods if methods[name].kind == "network"
    }
    assert options["unet"].loss.adversarial is False
    assert options["unet"].loss.sketcher_l1 == "plain"
    assert options["unet_weighted"].loss.sketcher_l1 == "region"
    assert options["two_layer"].network.generator == "two_layer"
    assert options["two_layer"].network.maps == 2 * base.network.maps
    assert [options[name].network.refiners for name in ("sketcher", "refiner", "refiner2", "refiner3")] == [0, 1, 2, 3]
    assert options["refiner"].loss.refiner_l1 == "region"
    assert all(each.data.modalities == ("MTR", "RD") for each in options.values())
    # the paper's 64 maps of the two-layer DNN beside the U-Net's 32
    assert method_options(methods["two_layer"], preset("paper"), ALL).network.maps == 64


def test_a_method_that_is_a_preset_keeps_what_it_says_and_shares_whom_and_where() -> None:
    base = preset("paper")
    data = base.data.model_copy(update={"validation": 0.4, "shape": (32, 32, 32)})
    training = base.training.model_copy(update={"seed": 7, "epochs": 3})
    base = base.model_copy(update={"data": data, "training": training})
    options = method_options(Method("own", preset="demo"), base, "MTR+RD", {"training": {"epochs": 2}})
    demo = preset("demo")
    assert options.network == demo.network
    assert options.training == demo.training.model_copy(update={"seed": 7, "epochs": 2})
    # demo's own grid, the study's held-out share and inputs
    assert options.data == demo.data.model_copy(update={"validation": 0.4, "modalities": ("MTR", "RD")})


def test_a_preset_keeps_its_arithmetic_and_runs_where_the_study_runs() -> None:
    base = options_from({"runtime": {"device": "cpu", "threads": 1}}, preset("paper"))
    options = method_options(known_methods()["accurate"], base, ALL)
    assert (options.runtime.device, options.runtime.threads, options.runtime.precision) == ("cpu", 1, "auto")
    own = method_options(known_methods()["accurate"], base, ALL, {"runtime": {"precision": "32-true"}})
    assert own.runtime.precision == "32-true"
    half = options_from({"runtime": {"precision": "16-mixed"}}, base)
    assert method_options(known_methods()["accurate"], half, ALL).runtime.precision == "16-mixed"


def test_stages_of_one_cascade_share_a_run_and_every_other_method_has_its_own(plan: Plan) -> None:
    parts = {part.name: part for part in plan.parts}
    cascade = parts[f"cascade_{ALL}_fold1"]
    assert [each.name for each in cascade.methods] == ["sketcher", "refiner", "refiner2", "refiner3"]
    assert cascade.options.network.refiners == 3
    assert parts["cascade_MTR_fold2"].options.network.refiners == 1
    # 7 runs of all inputs, the Refiner on two others, each in two folds, and the two rows of a phantom
    assert len(plan.parts) == 7 * 2 + 2 * 2 + 2


def test_the_main_tables_come_before_the_other_inputs(plan: Plan) -> None:
    names = [part.name for part in plan.parts]
    assert names[:2] == [f"linear_{ALL}_fold1", f"linear_{ALL}_fold2"]
    assert names[-6:-4] == ["noise-free", f"ceiling_{ALL}"]
    assert all("_MTR_" in name or "_MTR+RD_" in name for name in names[-4:])


def test_a_phantom_has_a_ceiling_of_200_patients_unless_it_does_not_say_how_it_was_simulated(
    phantom_cohort: Cohort, tmp_path: Path
) -> None:
    study = Study(preset("demo"), StudyOptions(folds=2))
    assert study.study.ceiling_patients == 200
    assert f"ceiling_{ALL}" in {part.name for part in open_plan(phantom_cohort, study, tmp_path / "one").parts}
    moved = replace(phantom_cohort, root=tmp_path / "moved.tsv")
    other = open_plan(moved, study, tmp_path / "two")
    assert not any(part.kind == "ceiling" for part in other.parts)
    assert any("no practical ceiling: the cohort does not say" in note for note in other.notes)


def test_subset_words_of_one_kind_are_alternatives_and_of_two_kinds_narrow(plan: Plan) -> None:
    def names(*words: str) -> list[str]:
        return [part.name for part in plan.chosen(words)]

    assert names("unet", "linear", "fold1") == [f"linear_{ALL}_fold1", f"unet_{ALL}_fold1"]
    assert names("MTR+RD") == ["cascade_MTR+RD_fold1", "cascade_MTR+RD_fold2"]
    assert names("noise-free") == ["noise-free"]
    assert len(names()) == len(plan.parts)
    with pytest.raises(UsageError, match=r"no part of this study is unet and MTR\+RD"):
        plan.chosen(["unet", "MTR+RD"])
    assert names("linear", "fold1", "noise-free", f"unet_{ALL}_fold2") == [
        f"linear_{ALL}_fold1",
        f"unet_{ALL}_fold2",
        "noise-free",
    ]
    assert names(f"unet_{ALL}_fold2") == [f"unet_{ALL}_fold2"]
    with pytest.raises(UsageError, match=r'"unett" is no method, inputs, fold or part .*did you mean "unet"'):
        plan.chosen(["unett"])


def test_a_method_with_options_of_its_own_has_them_last_and_a_run_of_its_own(
    phantom_cohort: Cohort, tmp_path: Path
) -> None:
    path = tmp_path / "study.toml"
    path.write_text('preset = "demo"\n[study]\nfolds = 2\n[methods.refiner2.training]\nepochs = 3\n')
    plan = open_plan(phantom_cohort, read_study(path), tmp_path / "out")
    own = next(part for part in plan.parts if part.name == f"refiner2_{ALL}_fold1")
    assert own.options.training.epochs == 3
    assert own.options.network.refiners == 2
    assert read_study(tmp_path / "out" / "study.toml") == read_study(path)


def test_going_on_with_other_options_is_refused_but_where_it_runs_may_change() -> None:
    old = Study(preset("demo"))
    with pytest.raises(UsageError, match=r"started with study\.folds = 3, now it is 4"):
        check_same_study(old, Study(preset("demo"), StudyOptions(folds=4)))
    runtime = old.options.runtime.model_copy(update={"device": "cpu", "threads": 2})
    check_same_study(old, Study(old.options.model_copy(update={"runtime": runtime})))


def test_jobs_name_absolute_paths_so_that_they_run_from_anywhere(
    phantom_cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plan = open_plan(phantom_cohort, Study(preset("demo"), StudyOptions(folds=2)), Path("out"))
    words = shlex.split(plan.command(next(part for part in plan.parts if part.name == f"unet_{ALL}_fold1")))
    assert words[:2] == ["napari-myelin-train", "fit"]
    assert words[2] == str(tmp_path / "out" / "cohorts" / "fold1_training.tsv")
    assert words[-1] == str(tmp_path / "out" / "parts" / f"unet_{ALL}_fold1" / "run")


SRUN = """#!/bin/sh
for word in "$@"; do printf '%s\\n' "$word"; done > "$ASKED/$SLURM_ARRAY_TASK_ID"
"""


def test_every_task_of_the_slurm_script_does_its_own_part(phantom_cohort: Cohort, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "srun").write_text(SRUN)
    (tmp_path / "bin" / "srun").chmod(0o755)
    out = tmp_path / "with a space"
    plan = open_plan(phantom_cohort, Study(preset("demo"), StudyOptions(folds=2)), out)
    chosen = plan.chosen(["unet", "linear"])
    script = tmp_path / "study.sbatch"
    script.write_text(slurm_script(plan, chosen))
    shellcheck(script)
    assert "#SBATCH --array=0-3\n" in script.read_text()
    assert "#SBATCH --gpus-per-node=1\n" in script.read_text()
    for task in range(4):
        environment = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "ASKED": str(tmp_path)}
        subprocess.run(["bash", script], env={**environment, "SLURM_ARRAY_TASK_ID": str(task)}, check=True, cwd="/")
        words = (tmp_path / str(task)).read_text().splitlines()
        assert words[:5] == ["napari-myelin-train", "study", str(phantom_cohort.root), "--out", str(out)]
        assert words[5:] == ["--parts-only", "--subset", chosen[task].name]


def test_a_study_on_the_cpu_asks_for_no_gpu(phantom_cohort: Cohort, tmp_path: Path) -> None:
    options = preset("demo")
    options = options.model_copy(update={"runtime": options.runtime.model_copy(update={"device": "cpu"})})
    plan = open_plan(phantom_cohort, Study(options, StudyOptions(folds=2)), tmp_path / "out")
    assert "gpu" not in slurm_script(plan, plan.parts)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[study]\nfold = 2\n", 'unknown key "study.fold" (did you mean "folds"?)'),
        ('[study]\nmethods = ["unett"]\n', 'there is no method "unett" (did you mean "unet"?)'),
        ('[study]\nreference = "refinr"\n', 'there is no method "refinr" (did you mean "refiner"?)'),
        ("[study]\nfolds = 1\n", "folds must be greater than or equal to 2, got 1"),
        ("[methods.nobody.training]\nepochs = 3\n", 'there is no method "nobody"'),
        ("[study\n", "is not TOML"),
    ],
)
def test_wrong_options_are_one_sentence_and_exit_code_2(
    text: str, sentence: str, phantom_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "study.toml").write_text(text)
    out = tmp_path / "out"
    assert call("study", phantom_folder, "--options", tmp_path / "study.toml", "--out", out) == 2
    assert sentence in only_error(capsys)
    assert not out.exists()


def test_the_reported_study_has_every_method_every_input_and_the_papers_folds() -> None:
    study = read_study(Path(__file__).parents[3] / "docs" / "study.toml")
    assert study.study == StudyOptions()
    assert (study.study.folds, study.study.ceiling_patients, study.main) == (3, 200, ALL)
    assert set(study.study.methods) == set(known_methods())
    assert study.options.data.spacing is None


def test_a_folder_that_holds_something_else_is_left_alone(
    phantom_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").write_text("mine")
    assert call("study", phantom_folder, "--out", tmp_path) == 1
    assert "is not empty and holds no study" in only_error(capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert call("study", "--out", tmp_path / "out") == 2
    assert "give a cohort" in only_error(capsys)
