"""A cohort's predictions on disk, and their evaluation."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.data.volume import Volume, read_volume, write_volume
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.evaluation.demyelination import Threshold, lesion_table
from napari_myelin.core.evaluation.table import read_evaluation
from napari_myelin.core.events import Event, Noted, Progress, Saved, Skipped, Stopped, StopRequest
from napari_myelin.core.inference.cohort import predict_cohort
from napari_myelin.core.inference.evaluate import evaluate_cohort
from napari_myelin.core.inference.model import Model
from napari_myelin.core.inference.outputs import read_outputs
from napari_myelin.core.inference.predict import predict
from napari_myelin.core.options import RuntimeOptions
from napari_myelin.core.prediction_options import PredictionOptions

CPU = RuntimeOptions(device="cpu")
PREDICTED = "pet/{0}_trc-11CPIB_space-pet_desc-predicted_model-Logan_meas-DVR_mimap.nii.gz"


def run(model: Model, cohort: Cohort, out: Path, **options: object) -> list[Event]:
    return list(predict_cohort([model], cohort, out, PredictionOptions(**options), CPU))  # type: ignore[arg-type]


def test_files_hold_what_predict_returns_on_the_original_grid(
    model: Model, phantom_cohort: Cohort, tmp_path: Path
) -> None:
    cohort = phantom_cohort.select(["01", "04"])
    events = run(model, cohort, tmp_path / "p", saliency=True, uncertainty=2)
    assert [event.done for event in events if isinstance(event, Progress)] == [1, 2]
    subject = cohort.subjects[0]
    path = tmp_path / "p" / "sub-01" / PREDICTED.format("sub-01")
    image = nib.load(path)
    original = nib.load(subject.files["MTR"])
    np.testing.assert_allclose(image.affine, original.affine)
    assert image.get_data_dtype() == np.float32
    assert image.header.get_intent()[2] == "dvr-predicted"
    assert b"research only" in image.header["descrip"].item()
    expected = predict([model], subject, draws=2)
    np.testing.assert_array_equal(np.asarray(image.dataobj), expected.dvr.array)
    sidecar = json.loads(path.with_name(path.name.replace(".nii.gz", ".json")).read_text())
    assert sidecar["Models"] == [model.card.uid]
    assert sidecar["Sources"][0] == "sub-01_space-pet_MTRmap.nii.gz"
    assert "Not a medical device" in sidecar["IntendedUse"]
    anat = tmp_path / "p" / "sub-01" / "anat"
    for name in ("MTR", "FA", "RD", "AD", "Max"):
        assert read_volume(anat / f"sub-01_space-pet_desc-lossSaliency{name}_map.nii.gz").array.max() > 0
    assert not list((tmp_path / "p" / "sub-04").rglob("*demyelinated*"))  # a control has no lesion mask


def test_lesion_table_and_mask_agree_with_the_predicted_map(
    model: Model, phantom_cohort: Cohort, tmp_path: Path
) -> None:
    cohort = phantom_cohort.select(["01"])
    run(model, cohort, tmp_path / "p", threshold_value=1.0)
    anat = tmp_path / "p" / "sub-01" / "anat"
    predicted = read_volume(tmp_path / "p" / "sub-01" / PREDICTED.format("sub-01"))
    lesion = cohort.subjects[0].volume("lesion").array
    mask = read_volume(anat / "sub-01_space-pet_desc-demyelinated_mask.nii.gz", mask=True)
    np.testing.assert_array_equal(mask.array, lesion & (predicted.array < 1.0))
    with (anat / "sub-01_space-pet_desc-lesions_table.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    expected = lesion_table(predicted, lesion, 1.0)
    assert len(rows) == len(expected) > 0
    assert float(rows[0]["volume"]) == pytest.approx(expected[0].volume, abs=1e-3)
    assert float(rows[0]["mean_dvr"]) == pytest.approx(expected[0].mean_dvr, abs=1e-4)
    assert sum(int(row["voxels"]) for row in rows) == lesion.sum()


def test_lesion_voxels_within_the_uncertainty_are_a_mask_of_their_own(
    model: Model, phantom_cohort: Cohort, tmp_path: Path
) -> None:
    subject = phantom_cohort.subjects[0]
    run(model, phantom_cohort.select(["01"]), tmp_path / "p", threshold_value=1.0, uncertainty=2)
    lesion, made = subject.volume("lesion").array, read_outputs(tmp_path / "p")
    dvr, spread = (read_volume(made.path(subject, what)).array for what in ("dvr-predicted", "dvr-uncertainty"))
    doubt = read_volume(made.path(subject, "unsure"), mask=True).array
    np.testing.assert_array_equal(doubt, lesion & (np.abs(dvr - 1.0) < spread))
    assert doubt.any()


def test_a_subject_that_cannot_be_predicted_is_named_and_the_others_go_on(
    model: Model, phantom_cohort: Cohort, tmp_path: Path
) -> None:
    one, two, three = phantom_cohort.subjects[:3]
    no_fa = type(one)(one.name, files={role: file for role, file in one.files.items() if role != "FA"})
    metres = two.raw("RD")
    other_unit = two.with_files(RD=Volume(metres.array / 1000, metres.affine))
    cohort = Cohort(phantom_cohort.root, (no_fa, other_unit, three))
    events = run(model, cohort, tmp_path / "p")
    skipped = {event.subject: event.reason for event in events if isinstance(event, Skipped)}
    assert list(skipped) == ["sub-01", "sub-02"]
    assert "no FA map" in skipped["sub-01"]
    assert "it looks like mm2/s: multiply it by 1000" in skipped["sub-02"]
    assert not (tmp_path / "p" / "sub-01").exists()
    assert (tmp_path / "p" / "sub-03" / PREDICTED.format("sub-03")).exists()


def test_saliency_check_writes_a_row_a_layer(model: Model, phantom_cohort: Cohort, tmp_path: Path) -> None:
    events = run(model, phantom_cohort.select(["04"]), tmp_path / "p", saliency_check=True)
    (saved,) = [event for event in events if isinstance(event, Saved)]
    lines = Path(saved.path).read_text().splitlines()
    assert lines[0] == "layer\tsimilarity"
    assert lines[1].startswith("stages.1.last")
    assert len(lines) > 20


def test_another_models_predictions_are_not_mixed_in(model: Model, phantom_cohort: Cohort, tmp_path: Path) -> None:
    cohort = phantom_cohort.select(["04"])
    run(model, cohort, tmp_path / "p")
    run(model, phantom_cohort.select(["05"]), tmp_path / "p")  # the same model adds its subjects
    other = Model(model.network, model.card.model_copy(update={"uid": "000000000000"}))
    with pytest.raises(MyelinError, match="predictions of another model"):
        run(other, cohort, tmp_path / "p")
    with pytest.raises(MyelinError, match="holds another dataset: choose another folder"):
        run(model, cohort, phantom_cohort.root)


def test_a_stop_ends_between_subjects(model: Model, phantom_cohort: Cohort, tmp_path: Path) -> None:
    stop = StopRequest()
    events = predict_cohort([model], phantom_cohort, tmp_path / "p", runtime=CPU, stop=stop)
    first = next(events)
    stop.request()
    assert isinstance(first, Progress)
    assert isinstance(list(events)[-1], Stopped)
    assert len(list((tmp_path / "p").glob("sub-*"))) == 1


def test_evaluation_of_predictions_by_hand(model: Model, phantom_cohort: Cohort, tmp_path: Path) -> None:
    cohort = phantom_cohort.select(["01", "04"])
    run(model, cohort, tmp_path / "p")
    subject = cohort.subjects[0]
    # put a known map in the place of the prediction: the truth plus a tenth
    true = subject.volume("dvr")
    path = tmp_path / "p" / "sub-01" / PREDICTED.format("sub-01")
    write_volume(path, Volume(true.array + np.float32(0.1), true.affine))
    events = list(evaluate_cohort(tmp_path / "p", cohort, tmp_path / "e"))
    assert not [event for event in events if isinstance(event, Skipped)]
    evaluation = read_evaluation(tmp_path / "e")
    assert evaluation.methods == ["predicted", "sketch", "linear", "noise-free"]
    values = {(score.subject, score.method): score.values for score in evaluation.scores}
    assert values["sub-01", "predicted"]["mse"] == pytest.approx(0.01, rel=1e-4)
    assert values["sub-01", "predicted"]["discrepancy_lesion"] == pytest.approx(0.1, rel=1e-4)
    noise = subject.volume("noisefree").array - true.array
    assert values["sub-01", "noise-free"]["mse"] == pytest.approx(float(np.square(noise).mean()), rel=1e-4)
    linear = model.linear
    assert linear is not None
    maps = {name: subject.volume(name).array for name in linear.modalities}
    error = linear.predict(maps, subject.brain().array) - true.array
    assert values["sub-01", "linear"]["mse"] == pytest.approx(float(np.square(error).mean()), rel=2e-2)
    assert evaluation.phantom


def test_evaluation_warns_of_subjects_that_the_model_was_trained_on(
    model: Model, phantom_cohort: Cohort, tmp_path: Path
) -> None:
    run(model, phantom_cohort, tmp_path / "p")
    list(evaluate_cohort(tmp_path / "p", phantom_cohort, tmp_path / "e"))
    trained, chosen = read_evaluation(tmp_path / "e").warnings
    assert all(key in trained for key in model.card.training.subjects)
    assert all(key in chosen for key in model.card.training.validation)


def test_leakage_is_told_by_the_maps_and_by_the_ids_of_the_same_dataset(
    model: Model, phantom_cohort: Cohort, tmp_path: Path
) -> None:
    key = model.card.training.subjects[0]
    known = phantom_cohort.select([key]).subjects[0]
    true = known.volume("dvr")
    renamed = replace(known, name="somebody")
    changed = replace(known, files={**known.files, "dvr": Volume(true.array * np.float32(1.01), true.affine)})
    for name, leaked in (
        (phantom_cohort.name, f"sub-somebody, {key}"),
        ("", f"sub-somebody, {key}"),
        ("other", "sub-somebody"),
    ):
        cohort = replace(phantom_cohort, subjects=(renamed, changed), name=name)
        run(model, cohort, tmp_path / f"p{name}")
        list(evaluate_cohort(tmp_path / f"p{name}", cohort, tmp_path / f"e{name}"))
        (warning,) = read_evaluation(tmp_path / f"e{name}").warnings
        assert set(warning.split(":")[0].removeprefix("the model was trained on ").split(", ")) == set(
            leaked.split(", ")
        )


def test_evaluation_without_predictions_or_truth_says_so(model: Model, phantom_cohort: Cohort, tmp_path: Path) -> None:
    with pytest.raises(MyelinError, match="holds no predictions"):
        next(iter(evaluate_cohort(tmp_path, phantom_cohort, tmp_path / "e")))
    subject = phantom_cohort.subjects[0]
    files = {role: file for role, file in subject.files.items() if role != "dvr"}
    cohort = Cohort(phantom_cohort.root, (type(subject)(subject.name, files=files),))
    run(model, cohort, tmp_path / "p")
    with pytest.raises(MyelinError, match="has a measured DVR"):
        list(evaluate_cohort(tmp_path / "p", cohort, tmp_path / "e"))
    assert not (tmp_path / "e").exists()


def test_threshold_given_by_the_user_is_kept_with_the_predictions(
    model: Model, phantom_cohort: Cohort, tmp_path: Path
) -> None:
    run(model, phantom_cohort.select(["01"]), tmp_path / "p", threshold_value=0.95)
    made = read_outputs(tmp_path / "p")
    assert made.threshold is not None
    assert (made.threshold.kind, made.threshold.value) == ("value", 0.95)
    assert made.cards[0].uid == model.card.uid


def test_what_is_unlike_the_training_subjects_is_noted_and_predicted_all_the_same(
    model: Model, phantom_cohort: Cohort, tmp_path: Path
) -> None:
    one, two = phantom_cohort.subjects[:2]
    mtr = two.volume("MTR")
    bright = two.with_files(MTR=Volume(np.where(mtr.array != 0, mtr.array * 0.4, 0).astype(np.float32), mtr.affine))
    events = run(model, Cohort(phantom_cohort.root, (one, bright)), tmp_path / "p")
    notes = [event for event in events if isinstance(event, Noted)]
    assert [note.subject for note in notes] == ["sub-02"]
    assert "MTR map has a median of" in notes[0].text
    assert (tmp_path / "p" / "sub-02" / PREDICTED.format("sub-02")).exists()


def test_a_voxelwise_threshold_without_a_transform_is_refused_before_anything_is_written(
    model: Model, phantom_cohort: Cohort, tmp_path: Path
) -> None:
    threshold = Threshold("template", 1.0, 1.0, 3, np.ones((3, 3, 3), dtype=np.float32), np.eye(4))
    card = model.card.model_copy(update={"threshold": threshold.to_dict()})
    voxelwise = Model(model.network, card, threshold.map)
    patient, control = phantom_cohort.subjects[0], phantom_cohort.subjects[-1]
    lost = replace(patient, files={role: file for role, file in patient.files.items() if role != "to_template"})
    events = run(voxelwise, Cohort(phantom_cohort.root, (lost, control)), tmp_path / "p")
    (skipped,) = (event for event in events if isinstance(event, Skipped))
    assert "sub-01 has no transform to the template" in skipped.reason
    assert not (tmp_path / "p" / "sub-01").exists()
    assert (tmp_path / "p" / "sub-05" / PREDICTED.format("sub-05")).exists()
