"""The phantom reaches the targets of its table, and is the same every time."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import binary_erosion, distance_transform_edt, label
from sklearn.ensemble import RandomForestRegressor

from napari_myelin.core.phantom import cohort as phantom
from napari_myelin.core.phantom.anatomy import Anatomy
from napari_myelin.core.phantom.cohort import PhantomSubject, make_subject
from napari_myelin.core.phantom.lesions import draw_volumes
from napari_myelin.core.phantom.options import PhantomOptions
from napari_myelin.core.phantom.tissue import DEMYELINATED

OPTIONS = PhantomOptions(patients=8, controls=2, shape=(64, 80, 64), spacing=2.44, seed=11)


@pytest.fixture(scope="module")
def subjects() -> list[PhantomSubject]:
    return [make_subject(index, OPTIONS) for index in (0, 1, 2, 3, 8, 9)]


def arrays(subject: PhantomSubject) -> dict[str, np.ndarray]:
    return {name: volume.array for name, volume in subject.volumes.items()}


def mean_over(subjects: list[PhantomSubject], name: str, region: str) -> float:
    values = []
    for subject in subjects:
        maps = arrays(subject)
        lesion = maps.get("lesion", np.zeros_like(maps["wm"]))
        masks = {
            "deep": binary_erosion(maps["wm"], iterations=2) & ~lesion,
            "lesion": lesion,
        }
        values.append(maps[name][masks[region]])
    return float(np.concatenate(values).mean())


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("MTR", 48, 52), ("FA", 0.38, 0.50), ("RD", 0.53, 0.63), ("AD", 1.06, 1.30), ("noisefree", 1.19, 1.25)],
)
def test_deep_white_matter_reaches_its_target(
    subjects: list[PhantomSubject], name: str, low: float, high: float
) -> None:
    assert low <= mean_over(subjects, name, "deep") <= high


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("FA", 0.22, 0.33), ("RD", 0.80, 1.10), ("AD", 1.30, 1.60), ("noisefree", 1.03, 1.13)],
)
def test_lesions_reach_their_target(subjects: list[PhantomSubject], name: str, low: float, high: float) -> None:
    assert low <= mean_over(subjects[:4], name, "lesion") <= high


def test_a_lesions_core_has_less_myelin_and_less_dvr_than_its_rim(subjects: list[PhantomSubject]) -> None:
    means = []
    for subject in subjects[:4]:
        lesion = subject.volumes["lesion"].array
        depth, labels = distance_transform_edt(lesion), label(lesion, np.ones((3, 3, 3)))[0]
        for number in range(1, int(labels.max()) + 1):
            own = labels == number
            if own.sum() < 60:
                continue
            core, rim = (own & (depth >= 0.75 * depth[own].max())), own & (depth <= 1)
            maps = subject.tissue.myelin, subject.volumes["noisefree"].array
            means.append([array[part].mean() for array in maps for part in (core, rim)])
    assert len(means) > 5
    myelin_core, myelin_rim, dvr_core, dvr_rim = np.mean(means, axis=0)
    assert myelin_core < myelin_rim - 0.02
    assert dvr_core < dvr_rim - 0.005


def test_lesion_mtr_is_about_70_percent_of_white_matter(subjects: list[PhantomSubject]) -> None:
    ratio = mean_over(subjects[:4], "MTR", "lesion") / mean_over(subjects[:4], "MTR", "deep")
    assert 0.62 <= ratio <= 0.80


def test_grey_matter_and_csf_differ_as_in_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    # one control at a voxel size where tissue fractions are nearly pure
    made: list[Anatomy] = []
    real = phantom.make_anatomy
    monkeypatch.setattr(phantom, "make_anatomy", lambda *a: (made.append(real(*a)), made[-1])[1])
    subject = make_subject(0, PhantomOptions(patients=0, controls=1, shape=(72, 72, 40), spacing=1.2, seed=5))
    maps, tissue = arrays(subject), subject.tissue
    grey = binary_erosion((made[0].gm > 0.95) & maps["brain"])
    for name, target, tolerance in (("MTR", 40, 2), ("FA", 0.15, 0.02), ("RD", 0.92, 0.05), ("AD", 1.19, 0.06)):
        assert maps[name][grey].mean() == pytest.approx(target, abs=tolerance), name
    assert maps["noisefree"][grey].mean() == pytest.approx(1.0, abs=0.02)
    assert tissue.myelin.min() == 1  # a control has normal myelin everywhere
    brain = maps["brain"]
    csf = binary_erosion(brain & (maps["RD"] > 2.1), iterations=2)
    assert maps["MTR"][csf].mean() < 10
    assert 2.1 <= maps["RD"][csf].mean() <= 2.9
    assert 2.5 <= maps["AD"][csf].mean() <= 3.0
    assert 0.5 <= maps["noisefree"][csf].mean() <= 0.7
    assert maps["FA"][csf].mean() < 0.12


def test_fa_follows_from_rd_and_ad(subjects: list[PhantomSubject]) -> None:
    maps = arrays(subjects[0])
    inside = maps["brain"]
    rd, ad = maps["RD"][inside].astype(float), maps["AD"][inside].astype(float)
    mean = (ad + 2 * rd) / 3
    deviations = (ad - mean) ** 2 + 2 * (rd - mean) ** 2
    expected = np.sqrt(1.5 * deviations / (ad**2 + 2 * rd**2))
    np.testing.assert_allclose(maps["FA"][inside], expected, atol=1e-5)


def test_demyelinated_share_of_every_patient_is_between_20_and_80_percent(subjects: list[PhantomSubject]) -> None:
    for subject in subjects[:4]:
        share = (subject.tissue.myelin[subject.volumes["lesion"].array] < DEMYELINATED).mean()
        assert 0.2 <= share <= 0.8


def test_controls_have_no_lesion_and_patients_have_some(subjects: list[PhantomSubject]) -> None:
    assert ["lesion" in subject.volumes for subject in subjects] == [True] * 4 + [False] * 2
    for subject in subjects[:4]:
        assert label(subject.volumes["lesion"].array)[1] > 5


def test_lesion_loads_follow_the_real_patients() -> None:
    random = np.random.default_rng(0)
    volumes = [draw_volumes(random) for _ in range(400)]
    loads = np.array([each.sum() for each in volumes]) / 1000
    assert 10 <= np.median(loads) <= 18
    assert 13 <= loads.mean() <= 22
    large = np.array([each[each > 1000].sum() for each in volumes]) / 1000
    assert 0.6 <= large.sum() / loads.sum() <= 0.85
    assert 50 <= np.median([len(each) for each in volumes]) <= 100


def test_measured_dvr_is_noise_free_dvr_with_8_to_12_percent_noise(subjects: list[PhantomSubject]) -> None:
    for subject in subjects:
        maps = arrays(subject)
        relative = (maps["dvr"] / np.where(maps["noisefree"] > 0, maps["noisefree"], 1))[maps["brain"]] - 1
        assert 0.07 <= relative.std() <= 0.13
        assert abs(relative.mean()) < 0.02


def test_same_seed_gives_the_same_arrays_and_another_seed_does_not(subjects: list[PhantomSubject]) -> None:
    again = make_subject(1, OPTIONS)
    for name, volume in again.volumes.items():
        np.testing.assert_array_equal(volume.array, subjects[1].volumes[name].array)
    other = make_subject(1, OPTIONS.model_copy(update={"seed": 12}))
    assert not np.array_equal(other.volumes["MTR"].array, again.volumes["MTR"].array)


def test_a_subject_does_not_depend_on_how_many_others_there_are() -> None:
    small = PhantomOptions(patients=1, controls=0, shape=(16, 16, 16), spacing=6.0)
    large = PhantomOptions(patients=5, controls=3, shape=(16, 16, 16), spacing=6.0)
    one, other = make_subject(0, small), make_subject(0, large)
    np.testing.assert_array_equal(one.volumes["dvr"].array, other.volumes["dvr"].array)


def test_another_site_measures_the_same_tissue_with_another_scanner(subjects: list[PhantomSubject]) -> None:
    a = subjects[0]
    b = make_subject(0, OPTIONS.model_copy(update={"site": "B"}))
    for name in ("dvr", "noisefree", "wm", "lesion", "flair"):  # the PET, the tissue and the drawing are the same
        np.testing.assert_array_equal(a.volumes[name].array, b.volumes[name].array)
    white = a.volumes["wm"].array & ~a.volumes["lesion"].array
    mtr, other = (each.volumes["MTR"].array[white] for each in (a, b))
    assert other.mean() / mtr.mean() == pytest.approx(0.86, abs=0.02)
    rd, coarser = (each.volumes["RD"].array[white] for each in (a, b))
    assert coarser.mean() / rd.mean() == pytest.approx(1, abs=0.1)  # the unit is that of water, not of a scanner
    assert "--site B" in phantom.command(OPTIONS.model_copy(update={"site": "B"}))
    assert "--site" not in phantom.command(OPTIONS)


def test_explained_variance_rises_with_the_modalities(subjects: list[PhantomSubject]) -> None:
    def voxels(subject: PhantomSubject) -> tuple[np.ndarray, np.ndarray]:
        maps = arrays(subject)
        lesion = maps["lesion"]
        return np.stack([maps[name][lesion] for name in ("MTR", "RD", "FA", "AD")], 1), maps["noisefree"][lesion]

    train = [voxels(subject) for subject in subjects[:3]]
    test_x, test_y = voxels(subjects[3])
    explained = []
    for columns in ([0], [1], [0, 1], [0, 1, 2, 3]):
        forest = RandomForestRegressor(60, min_samples_leaf=10, random_state=0)
        forest.fit(np.concatenate([x for x, _ in train])[:, columns], np.concatenate([y for _, y in train]))
        residual = test_y - forest.predict(test_x[:, columns])
        explained.append(1 - residual.var() / test_y.var())
    mtr, rd, two, four = explained
    assert mtr < two < four
    assert rd < two
