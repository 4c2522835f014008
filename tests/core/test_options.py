"""Options: bounds, presets, files that read back, and errors that name the nearest key."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_myelin.core.errors import UsageError
from napari_myelin.core.options import Options
from napari_myelin.core.options_file import options_from, preset, preset_names, read_options, to_toml


def test_the_paper_preset_is_what_the_paper_fixes() -> None:
    paper = preset("paper")
    assert paper == Options()
    assert paper.data.modalities == ("MTR", "FA", "RD", "AD")
    assert (paper.data.spacing, paper.data.shape) == (1.22, (128, 160, 128))
    assert (paper.network.maps, paper.network.dropout, paper.network.refiners, paper.network.patch) == (32, 0.5, 1, 32)
    assert (paper.training.sketcher_rate, paper.training.refiner_rate) == (1e-4, 5e-5)
    assert (paper.training.epochs, paper.training.batch) == (400, 1)
    assert (paper.loss.sketcher_l1, paper.loss.refiner_l1) == ("plain", "region")


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_reads_and_its_file_reads_back(name: str, tmp_path: Path) -> None:
    options = preset(name)
    assert options.preset == name
    path = tmp_path / "options.toml"
    path.write_text(to_toml(options), encoding="utf-8")
    assert read_options(path) == options


def test_a_file_goes_over_the_preset_that_it_names(tmp_path: Path) -> None:
    path = tmp_path / "o.toml"
    path.write_text('preset = "demo"\n[training]\nepochs = 3\n[data]\nspacing = 2.0\n', encoding="utf-8")
    options, demo = read_options(path), preset("demo")
    assert (options.training.epochs, options.data.spacing, options.network) == (3, 2.0, demo.network)
    assert read_options(path, preset("paper")).network == preset("paper").network  # the caller's base wins


def test_none_is_written_as_a_word_and_read_back(tmp_path: Path) -> None:
    options = options_from({"data": {"shape": "none", "spacing": "none"}})
    assert (options.data.shape, options.data.spacing) == (None, None)
    assert 'shape = "none"' in to_toml(options)


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"trainig": {}}, 'unknown key "trainig" (did you mean "training"?)'),
        ({"training": {"epoch": 3}}, 'unknown key "training.epoch" (did you mean "epochs"?)'),
        ({"training": {"epochs": 0}}, "training.epochs must be greater than or equal to 1, got 0"),
        ({"network": {"refiners": 4}}, "network.refiners must be less than or equal to 3, got 4"),
        ({"network": {"dropout": 1.0}}, "network.dropout must be less than 1, got 1.0"),
        (
            {"network": {"generator": "resnet"}},
            "network.generator must be 'unet', 'two_layer' or 'residual', got",
        ),
        ({"data": {"shape": [100, 160, 128]}}, r"shape (100, 160, 128) must be multiples of 8"),
        ({"data": {"shape": [48, 64, 48]}}, "of the discriminator's patch (32)"),
        ({"demyelination": {"threshold": "value"}}, "threshold_value is not given"),
        ({"training": 3}, "training"),
    ],
)
def test_a_wrong_option_is_one_sentence(table: dict[str, object], sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        options_from(table, where="file.toml")
    assert str(caught.value).startswith("file.toml: ")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read_say_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the options file"):
        read_options(tmp_path / "absent.toml")
    path = tmp_path / "broken.toml"
    path.write_text("epochs = = 3", encoding="utf-8")
    with pytest.raises(UsageError, match="is not TOML"):
        read_options(path)
    with pytest.raises(UsageError, match=r'no preset "papr" \(did you mean "paper"\?\)'):
        preset("papr")


def test_options_cannot_be_changed_once_made() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Options().training.epochs = 3  # type: ignore[misc]
