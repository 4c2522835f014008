"""A subject's part of the page: inputs, maps, error, demyelination and saliency of one slice."""

from __future__ import annotations

import html
from collections.abc import Iterator

import numpy as np

from napari_myelin.core.data.subject import Subject
from napari_myelin.core.data.volume import Volume, read_volume
from napari_myelin.core.evaluation.demyelination import agreement, classify
from napari_myelin.core.evaluation.probability import predicted_threshold
from napari_myelin.core.inference.model import decision
from napari_myelin.core.inference.outputs import Predictions
from napari_myelin.core.report.pictures import AGREEMENT, Cut, Window, agreement_picture, canonical, map_picture

UNITS = {"MTR": "%", "RD": "10⁻³ mm²/s", "AD": "10⁻³ mm²/s"}


def subject_section(subject: Subject, made: Predictions) -> str:
    """Return the HTML of one subject.

    Parameters
    ----------
    subject
        With its MR maps and, where there are any, measured DVR and lesion mask.
    made
        The predictions that hold its maps.

    Raises
    ------
    MyelinError
        If a map cannot be read.
    """
    view = _View(subject, made)
    group = {"MS": "patient", "HC": "control"}.get(subject.group or "", "subject")
    parts = [
        f"<h2>{html.escape(subject.key)}, a {group}</h2>",
        f'<p class="soft">Axial slice at z = {view.z:.0f} mm; R: the right of the {group}. '
        f"{'The lesions are outlined.' if view.lesion is not None else ''}</p>",
        "<h3>MR maps</h3>",
        f'<div class="maps">{"".join(view.inputs())}</div>',
        f"<h3>{'Target, which is no DVR' if made.cards[0].target_note else 'Myelin (DVR)'}</h3>",
        f'<div class="maps">{"".join(view.maps())}</div>',
    ]
    agreeing = view.agreement()
    if agreeing:
        parts += ["<h3>Demyelinated lesion voxels</h3>", agreeing]
    saliency = list(view.saliency())
    if saliency:
        parts += [f"<h3>Saliency: where the {view.target} is sensitive to the input</h3>"]
        parts += [f'<div class="maps">{"".join(saliency)}</div>']
    return "\n".join(parts)


class _View:
    """One subject's canonical volumes and the slice that is shown."""

    target = "prediction"

    def __init__(self, subject: Subject, made: Predictions) -> None:
        self.subject, self.made, self.resample = subject, made, made.options.resample
        brain = canonical(subject.brain(self.resample))
        self.lesion = self._volume("lesion").array if subject.has("lesion") else None
        if self.lesion is not None and not self.lesion.any():
            self.lesion = None
        self.cut = Cut.through(brain, self.lesion)
        self.brain = brain.array
        self.z = float(brain.world((0, 0, self.cut.k))[2])
        self.predicted = canonical(read_volume(made.path(subject, "dvr-predicted"))).array
        self.true = self._volume("dvr").array if subject.has("dvr") else None
        known = self.predicted if self.true is None else self.true
        low, high = np.percentile(known[self.brain], [2, 99.5])
        self.window = Window(float(low), float(high), "inferno")

    def _volume(self, role: str) -> Volume:
        return canonical(self.subject.volume(role, self.resample))

    def inputs(self) -> Iterator[str]:
        for name in self.made.cards[0].modalities:
            array = self._volume(name).array
            low, high = np.percentile(array[self.brain], [1, 99])
            yield self._figure(name, array, Window(float(low), float(high), "gray", UNITS.get(name, "")))

    def maps(self) -> Iterator[str]:
        sketch = self.made.path(self.subject, "dvr-sketch")
        if self.made.cards[0].stages > 1 and sketch.exists():
            yield self._figure("Sketch", canonical(read_volume(sketch)).array, self.window)
        name = "Refined" if self.made.cards[0].stages > 1 else "Predicted"
        yield self._figure(name, self.predicted, self.window)
        if self.true is None:
            return
        yield self._figure("Measured", self.true, self.window)
        if self.subject.has("noisefree"):
            yield self._figure("Noise-free truth", self._volume("noisefree").array, self.window)
        error = self.predicted - self.true
        limit = max(0.05, float(np.percentile(np.abs(error[self.brain]), 99)))
        yield self._figure("Error (predicted - measured)", error, Window(-limit, limit, "RdBu_r"))
        uncertainty = self.made.path(self.subject, "dvr-uncertainty")
        if uncertainty.exists():
            array = canonical(read_volume(uncertainty)).array
            limit = max(1e-4, float(np.percentile(array[self.brain], 99)))
            yield self._figure("Uncertainty (SD)", array, Window(0, limit, "viridis"))

    def agreement(self) -> str:
        if self.true is None or self.lesion is None or self.made.threshold is None:
            return ""
        dvr = self.subject.volume("dvr", self.resample)
        threshold = self.made.threshold.on(self.subject, dvr)
        if isinstance(threshold, np.ndarray):
            threshold = canonical(Volume(threshold, dvr.affine)).array
        sd = self.made.path(self.subject, "dvr-uncertainty")
        spread = canonical(read_volume(sd)).array if sd.exists() else None
        probability = decision([card.options for card in self.made.cards])
        below = predicted_threshold(threshold, spread, probability)
        measured, ours = classify(self.true, self.lesion, threshold), classify(self.predicted, self.lesion, below)
        labels = agreement(measured, ours, self.lesion)
        name = self.made.cards[0].modalities[0]
        background = self._volume(name).array
        low, high = np.percentile(background[self.brain], [1, 99])
        picture = agreement_picture(labels, background, self.cut, Window(float(low), float(high)))
        key = "".join(f'<span><i style="background:{colour}"></i>{text}</span>' for colour, text in AGREEMENT.values())
        image = f'<figure><div class="frame"><img alt="agreement of demyelination" src="{picture}"></div></figure>'
        return f'<div class="maps wide">{image}</div><div class="key">{key}</div>'

    def saliency(self) -> Iterator[str]:
        for target, words in (("loss", "loss"), ("dvr", "prediction")):
            paths = {n: self.made.path(self.subject, f"saliency-{target}-{n}") for n in self._channels()}
            if not all(path.exists() for path in paths.values()):
                continue
            self.target = words
            arrays = {name: canonical(read_volume(path)).array for name, path in paths.items()}
            limit = float(np.percentile(arrays["Max"][self.brain], 99.5)) or 1.0
            for name, array in arrays.items():
                title = "Maximum" if name == "Max" else name
                yield self._figure(title, array / limit, Window(0, 1, "magma", "relative"))
            return

    def _channels(self) -> list[str]:
        return [*self.made.cards[0].modalities, "Max"]

    def _figure(self, title: str, array: np.ndarray, window: Window) -> str:
        outline = None if self.lesion is None else self.lesion
        source = map_picture(array, self.cut, window, outline)
        unit = f" {window.unit}" if window.unit else ""
        return (
            f'<figure><div class="frame"><img alt="{html.escape(title)}" src="{source}"></div>'
            f'<figcaption><b>{html.escape(title)}</b><span class="bar" style="background:{window.gradient()}"></span>'
            f'<span class="ends"><span>{_end(window.low)}</span><span>{_end(window.high)}{unit}</span></span>'
            "</figcaption></figure>"
        )


def _end(value: float) -> str:
    # two digits, and never 1.2e+02
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:.2g}"
