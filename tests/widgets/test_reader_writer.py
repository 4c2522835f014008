"""What is dropped on the viewer, what is saved from it, and where both lie."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import napari
import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine
from places import awkward_subject, spot_in_world

from napari_myelin.core.data.bids import bids_path
from napari_myelin.core.data.volume import write_volume
from napari_myelin.core.errors import MyelinError
from napari_myelin.widgets.reader import cohort_at, get_reader, read_cohort, read_images
from napari_myelin.widgets.session import session_of
from napari_myelin.widgets.subject.panel import SubjectPanel
from napari_myelin.widgets.writer import write_map, write_mask

PLUGIN = "napari-myelin"


def test_reader_takes_what_is_ours_and_nothing_else_without_raising(phantom_folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "cohort.tsv"
    table.write_text("subject\tFA\nx1\tfa.nii.gz\n")
    foreign = tmp_path / "genes.tsv"
    foreign.write_text("gene\tcount\n")
    (tmp_path / "binary.tsv").write_bytes(bytes(range(256)))
    (tmp_path / "plain").mkdir()
    map_ = bids_path(phantom_folder, "01", None, "MTR")
    assert get_reader(str(phantom_folder)) is read_cohort
    assert get_reader(str(table)) is read_cohort
    assert get_reader(str(map_)) is read_images
    assert get_reader([str(map_), str(map_)]) is read_images
    assert cohort_at(phantom_folder / "sub-02") == (phantom_folder, "sub-02")
    assert cohort_at(phantom_folder / "participants.tsv") == (phantom_folder, "")
    assert cohort_at(table) == (table, "")
    not_ours = [foreign, tmp_path / "binary.tsv", tmp_path / "plain", tmp_path / "gone.nii.gz", tmp_path / "x.png"]
    for path in [*map(str, not_ours), "https://somewhere/x.png", "", "\0", [], [str(map_), str(foreign)]]:
        assert get_reader(path) is None, path


def dropped(viewer: Any, path: Path) -> None:
    viewer.open(str(path), plugin=PLUGIN)


def test_a_dropped_folder_opens_the_cohort_and_its_panel(viewer: Any, qtbot: Any, phantom_folder: Path) -> None:
    session = session_of(viewer)
    with qtbot.waitSignal(session.cohort_changed, timeout=10_000):
        dropped(viewer, phantom_folder)
    assert [subject.key for subject in session.cohort.subjects] == [f"sub-0{i}" for i in range(1, 6)]
    assert any(name.startswith("Subject") for name in viewer.window.dock_widgets)
    assert session.subject is None  # five: the user says whom to show
    with qtbot.waitSignal(session.subject_shown, timeout=20_000):
        dropped(viewer, phantom_folder / "sub-02")
    assert session.subject.key == "sub-02"


def test_dropped_files_grow_into_a_subject_or_are_shown_beside_it(
    viewer: Any, qtbot: Any, phantom_folder: Path, tmp_path: Path
) -> None:
    session = session_of(viewer)
    said: list[str] = []
    session.said.connect(lambda text, problem: said.append(text))
    with qtbot.waitSignal(session.subject_shown, timeout=20_000):
        dropped(viewer, bids_path(phantom_folder, "01", None, "flair"))
    assert session.subject.key == "sub-01"
    assert session.cohort.phantom  # its sidecar says that it is simulated
    assert "begins a new subject" in said[-1]
    for role in ("MTR", "dvr", "lesion"):
        with qtbot.waitSignal(session.subject_shown, timeout=20_000):
            dropped(viewer, bids_path(phantom_folder, "01", None, role))
    assert set(session.subject.files) == {"flair", "MTR", "dvr", "lesion"}
    assert {layer.metadata["napari_myelin"]["role"] for layer in viewer.layers} == set(session.subject.files)
    # somebody else's, a second one, and one that nobody knows: shown where they lie, and not joined
    unknown = tmp_path / "scan.nii.gz"
    shutil.copy(bids_path(phantom_folder, "01", None, "FA"), unknown)
    for path, why in (
        (bids_path(phantom_folder, "02", None, "FA"), "by its name it is sub-02's"),
        (bids_path(phantom_folder, "01", None, "MTR"), "sub-01 has its MTR map already"),
        (unknown, "its name does not say what it is"),
    ):
        with qtbot.waitSignal(session.subject_shown, timeout=20_000):
            dropped(viewer, path)
        assert why in said[-1]
        assert viewer.layers[path.name.split(".nii")[0]].visible
    assert set(session.subject.files) == {"flair", "MTR", "dvr", "lesion"}
    # files that are called by nothing but what they hold are a person's by their folder
    person = tmp_path / "ms-patient_7"
    person.mkdir()
    for role, name in (("flair", "flair.nii.gz"), ("MTR", "mtr.nii.gz")):
        shutil.copy(bids_path(phantom_folder, "01", None, role), person / name)
    session.leave()
    for name in ("flair.nii.gz", "mtr.nii.gz"):
        with qtbot.waitSignal(session.subject_shown, timeout=20_000):
            dropped(viewer, person / name)
    assert session.subject.key == "sub-mspatient7"
    assert session.subject.files == {"flair": person / "flair.nii.gz", "MTR": person / "mtr.nii.gz"}
    (panel,) = [each for each in viewer.window.dock_widgets.values() if isinstance(each, SubjectPanel)]
    assert panel.message.text() == "mtr.nii.gz joined sub-mspatient7 as its MTR map."
    session.leave()
    assert panel.message.text() == ""
    session.show(session.cohort.subjects[0])
    (tmp_path / "sub-01_AD.nii").write_bytes(b"")
    with pytest.raises(MyelinError, match="is empty"):
        dropped(viewer, tmp_path / "sub-01_AD.nii")


@pytest.mark.parametrize(
    ("sample", "group", "count"), [("patient", "MS", 1), ("control", "HC", 1), ("cohort", "MS", 6)]
)
def test_samples_open_in_the_session(viewer: Any, qtbot: Any, sample: str, group: str, count: int) -> None:
    session = session_of(viewer)
    with qtbot.waitSignal(session.subject_shown, timeout=30_000):
        viewer.open_sample(PLUGIN, sample)
    assert session.subject.group == group
    assert len(session.cohort.subjects) == count
    assert session.cohort.phantom
    roles = [layer.metadata["napari_myelin"]["role"] for layer in viewer.layers]
    assert len(roles) == len(set(roles))  # the layer that napari was handed is one of them
    assert {"MTR", "FA", "RD", "AD", "dvr", "flair"} <= set(roles)
    assert session.layer("flair").visible


def shown(viewer: Any, qtbot: Any) -> Any:
    session = session_of(viewer)
    with qtbot.waitSignal(session.subject_shown, timeout=20_000):
        session.show(awkward_subject())
    return session


def place_in(path: Path) -> np.ndarray:
    """Return where a second program, nibabel, sees the brightest voxels of a file."""
    image = nib.load(path)
    data = np.asarray(image.dataobj)
    return np.asarray(apply_affine(image.affine, np.argwhere(data == data.max()))).mean(axis=0)


def test_saved_layers_lie_where_they_were_shown(viewer: Any, qtbot: Any, tmp_path: Path) -> None:
    session = shown(viewer, qtbot)
    own = awkward_subject().raw("dvr")
    for role, name in (("lesion", "mask.nii.gz"), ("dvr", "map.nii.gz"), ("FA", "plain.nii")):
        (path,) = session.layer(role).save(str(tmp_path / name), plugin=PLUGIN)
        np.testing.assert_allclose(place_in(Path(path)), spot_in_world(), atol=1e-4)
        image = nib.load(path)
        assert image.shape == own.shape
        np.testing.assert_allclose(image.affine, own.affine, atol=1e-5)  # the subject's own grid, not the shown one
    np.testing.assert_array_equal(np.asarray(nib.load(tmp_path / "map.nii.gz").dataobj), own.array)
    assert nib.load(tmp_path / "mask.nii.gz").get_data_dtype() == np.uint8
    # the FLAIR was turned for showing: it is written as it is shown, at the right place
    (path,) = session.layer("flair").save(str(tmp_path / "flair.nii.gz"), plugin=PLUGIN)
    np.testing.assert_allclose(place_in(Path(path)), spot_in_world(), atol=0.5)


def test_layers_that_napari_made_from_ours_keep_their_place(viewer: Any, qtbot: Any, tmp_path: Path) -> None:
    session = shown(viewer, qtbot)
    real = napari.current_viewer()
    for base, exact in (("MTR", 1e-4), ("flair", 0.5)):
        real.layers.selection.active = session.layer(base)
        before = set(real.layers)
        real._new_labels()  # what the button and the menu do
        (new,) = set(real.layers) - before
        assert new.metadata == {}  # napari copies the place, nothing of ours
        index = np.round(new.world_to_data(session.frame.shown(spot_in_world()))).astype(int)
        new.data[tuple(index)] = 3
        (path,) = new.save(str(tmp_path / f"{base}.nii.gz"), plugin=PLUGIN)
        half = np.linalg.norm(new.scale) / 2
        np.testing.assert_allclose(place_in(Path(path)), spot_in_world(), atol=max(exact, half if exact > 0.1 else 0))
        assert np.asarray(nib.load(path).dataobj).max() == 3
    real.layers.selection.active = session.layer("dvr")
    from napari.layers._layer_actions import _duplicate_layer

    _duplicate_layer(real.layers)
    copy = real.layers["measured DVR copy"]
    (path,) = copy.save(str(tmp_path / "copy.nii.gz"), plugin=PLUGIN)
    np.testing.assert_allclose(place_in(Path(path)), spot_in_world(), atol=1e-4)


def test_what_has_no_sure_place_is_refused_in_words(viewer: Any, qtbot: Any, tmp_path: Path) -> None:
    target = str(tmp_path / "never.nii.gz")
    plain = viewer.add_labels(np.ones((3, 4, 5), dtype=np.uint8), name="mine")
    data, attributes, _ = plain.as_layer_data_tuple()
    with pytest.raises(MyelinError, match='"mine" does not belong to a subject'):
        write_mask(target, data, attributes)
    with pytest.raises(MyelinError, match="has 2 axes, expected 3"):
        write_map(target, np.zeros((3, 4)), {"name": "flat"})
    session = shown(viewer, qtbot)
    lesion = session.layer("lesion")
    lesion.translate = np.add(lesion.translate, (0, 2, 0))
    data, attributes, _ = lesion.as_layer_data_tuple()
    with pytest.raises(MyelinError, match="was cut, moved or scaled since it was made from sub-awk"):
        write_mask(target, data, attributes)
    fa = session.layer("FA")
    fa.rotate = (0, 0, 10)
    data, attributes, _ = fa.as_layer_data_tuple()
    with pytest.raises(MyelinError, match=r"was turned or sheared \(rotate\)"):
        write_map(target, data, attributes)
    assert not Path(target).exists()


def test_a_full_disk_or_a_wrong_file_is_told(
    viewer: Any, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = shown(viewer, qtbot)
    data, attributes, _ = session.layer("lesion").as_layer_data_tuple()
    with pytest.raises(MyelinError, match="cannot write"):
        write_mask("/proc/nothing/mask.nii.gz", data, attributes)

    def lossy(path: Path, volume: Any, **options: Any) -> None:
        write_volume(path, type(volume)(np.zeros_like(volume.array), volume.affine), **options)

    monkeypatch.setattr("napari_myelin.widgets.writer.write_volume", lossy)
    with pytest.raises(MyelinError, match="reads back differently"):
        write_mask(str(tmp_path / "mask.nii.gz"), data, attributes)


def test_without_a_viewer_layers_are_returned(monkeypatch: pytest.MonkeyPatch, phantom_folder: Path) -> None:
    monkeypatch.setattr(napari, "current_viewer", lambda: None)
    layers = read_cohort(str(phantom_folder / "sub-04"))
    assert {attributes["metadata"]["napari_myelin"]["subject"] for _, attributes, _ in layers} == {"sub-04"}
    assert [attributes["name"] for _, attributes, _ in layers if attributes["visible"]] == ["FLAIR"]
    ((array, attributes, kind),) = read_images(str(bids_path(phantom_folder, "01", None, "MTR")))
    assert (array.shape, kind, attributes["units"]) == ((32, 40, 32), "image", ("mm", "mm", "mm"))
