"""Makes the pictures of `docs/screenshots`: every panel in use on the sample cohort, in a window as a user has it.

``DISPLAY=:85 python docs/screenshots.py`` makes all, ``... predict train`` some of them; with ``--theme light --into
FOLDER`` in other colours and elsewhere, to be looked at. It needs a screen with OpenGL
(``Xvfb :85 -screen 0 1600x1000x24``) and takes minutes: predictions and the training are real.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

from studio import Studio, wait

HERE = Path(__file__).parent / "screenshots"
EPOCHS, MAPS = 4, 4  # of the training that is shown


def subject(studio: Studio) -> None:
    """Take the Subject panel with the orthogonal views."""
    panel = studio.panel("Subject")
    studio.show("flair", "lesion")
    studio.look_at(studio.session.lesion.array, 3.0)
    panel.views_button.click()
    panel.check_button.click()
    wait(lambda: panel.check_button.text() == "Checked 6 of 6")
    studio.take("subject")
    panel.views_button.click()


def prepare(studio: Studio) -> None:
    """Take the Subject panel while it prepares two simulated subjects of raw scans."""
    from napari_myelin.core.phantom.options import PhantomOptions
    from napari_myelin.core.prepare.raw_cohort import write_raw_cohort

    raw = Path.home() / "study" / "raw"
    if not raw.exists():
        for _ in write_raw_cohort(raw, PhantomOptions(patients=1, controls=1, shape=(40, 48, 40), spacing=4.0)):
            pass
    panel = studio.panel("Subject")
    panel.raw_section.open(True)
    scans = panel.raw_scans
    scans.form.raw.setText("~/study/raw")
    wait(lambda: scans.form.visits.keys)
    scans.form.form.sections["dvr"].open(True)
    scans.start_button.click()
    wait(lambda: " left." in scans.state.text())
    studio.take("prepare")
    scans.cancel_button.click()
    wait(lambda: not scans.preparer.running)
    scans.form.form.sections["dvr"].open(False)
    panel.raw_section.open(False)


def lesions(studio: Studio) -> None:
    """Take the Lesions panel, a row chosen, the brush in hand."""
    panel = studio.panel("Lesions")
    studio.show("flair", "lesion")
    wait(lambda: panel.lesions.rows)
    studio.look_at(studio.session.lesion.array, 4.2)
    panel.lesions.selectRow(2)
    studio.viewer.layers.selection.active = studio.session.layer("lesion")
    panel.brush.tools.buttons()[1].click()
    studio.point_at(0.69, 0.69)  # a small lesion at the back left: the circle is the brush
    studio.take("lesions")
    panel.brush.tools.buttons()[0].click()
    panel.lesions.clearSelection()


def predict(studio: Studio) -> None:
    """Take a finished prediction: the DVR, where it agrees with the measured map, and its lesions (light theme)."""
    panel = studio.panel("Predict")
    wait(panel.run_button.isEnabled)
    panel.editors["uncertainty"].put(4)
    panel.editors["saliency"].put(True)
    panel.run_button.click()
    wait(lambda: studio.session.prediction is not None and not panel.predictor.running)
    studio.viewer.layers.selection.active = studio.session.layer("dvr-predicted")
    studio.show("dvr-predicted", "demyelinated")
    studio.look_at(studio.session.lesion.array, 4.2)
    studio.take("predict")
    studio.show("flair", "agreement")
    studio.viewer.layers.selection.active = studio.session.layer("agreement")
    studio.take("agreement")
    panel = studio.panel("Lesions")
    wait(lambda: panel.lesions.source.name == "predicted DVR")
    panel.lesions.selectRow(2)
    studio.viewer.theme = "light" if studio.theme == "dark" else "dark"
    studio.take("lesions-predicted")
    studio.viewer.theme = studio.theme
    panel.lesions.clearSelection()


def _filled_in(studio: Studio) -> Any:
    from napari_myelin.core.options_file import options_from, preset

    panel = studio.panel("Train")
    given = {"network": {"maps": MAPS}, "training": {"epochs": EPOCHS, "validate_every": 1}}
    panel.setup.put(options_from(given, preset("demo")))
    wait(lambda: panel.setup.outlook.forecast is not None and panel.start.isEnabled())
    return panel


def setup(studio: Studio) -> None:
    """Take the Train panel, filled in."""
    _filled_in(studio)
    studio.show("flair")
    studio.take("train-setup")


def train(studio: Studio) -> None:
    """Take a training while it trains its last stage, with curves and the preview of the held-out subject."""
    panel = _filled_in(studio)
    studio.session.leave()  # the preview has the canvas to itself
    panel.start.click()
    curves = panel.run.course.curves
    # two epochs of the refiner are over
    wait(lambda: not panel.run.running or ("l1" in curves and len(curves["l1"].epochs) >= EPOCHS + 2))
    wait(lambda: "preview: error" in studio.viewer.layers)
    for layer in studio.viewer.layers:  # a refiner of two epochs is nothing to look at yet
        layer.visible = layer.name == "preview: sketch"
    studio.viewer.layers.selection.active = studio.viewer.layers["preview: sketch"]
    studio.viewer.reset_view()
    studio.take("train")
    if panel.run.running:
        panel.stop.click()
        wait(lambda: not panel.run.running)
    panel.run.previews.remove()


def evaluate(studio: Studio) -> None:
    """Take the Evaluate panel: box plots, then Bland and Altman's plot."""
    panel = studio.panel("Evaluate")
    folder = studio.work / "predictions"
    if not (folder / "model.json").exists():
        from qtpy.QtWidgets import QFileDialog

        chosen, QFileDialog.getExistingDirectory = QFileDialog.getExistingDirectory, lambda *_: str(folder)
        try:
            wait(panel.prediction.button.isEnabled)
            panel.prediction.button.click()
        finally:
            QFileDialog.getExistingDirectory = chosen
    else:
        panel.use(folder)
        panel.evaluate_button.click()
    wait(lambda: panel.evaluator.result is not None and not panel.evaluator.running)
    panel.section.open(False)
    for name, tab in (("evaluate-boxes", 2), ("evaluate", 3)):
        panel.view.tabs.setCurrentIndex(tab)
        studio.take(name)


SCENES = {scene.__name__: scene for scene in (subject, prepare, lesions, predict, evaluate, setup, train)}


def main() -> None:
    """Make the pictures that are named, else all."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("scenes", nargs="*", metavar="SCENE", help=", ".join(SCENES))
    parser.add_argument("--work", type=Path, help="folder for predictions, to be used again")
    parser.add_argument("--into", type=Path, default=HERE, help="folder for the pictures")
    parser.add_argument("--theme", choices=("dark", "light"), default="dark")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        # neither the settings nor the files of whoever runs it, and a run folder that holds no run
        os.environ |= {"HOME": folder, "NAPARI_CONFIG": str(Path(folder) / "settings.yaml")}
        work = given.work or Path(folder) / "work"
        work.mkdir(parents=True, exist_ok=True)
        given.into.mkdir(parents=True, exist_ok=True)
        studio = Studio(work, given.into.absolute(), given.theme)
        for name in given.scenes or SCENES:
            SCENES[name](studio)
        studio.viewer.close()


if __name__ == "__main__":
    main()
