"""The list of processors, with their names and free memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from qtpy.QtWidgets import QComboBox

from napari_myelin.core.events import StopRequest
from napari_myelin.core.options import RuntimeOptions
from napari_myelin.widgets.jobs import Job
from napari_myelin.widgets.settings import setting


class DeviceBox(QComboBox):
    """Choose a processor; filled in the background, because asking for it imports torch.

    Parameters
    ----------
    session
        Of the viewer.
    each_gpu
        Whether the GPUs are listed one by one; else one entry a kind.
    """

    def __init__(self, session: Any, *, each_gpu: bool = True) -> None:
        super().__init__()
        self.each_gpu = each_gpu
        self.setToolTip(str(RuntimeOptions.model_fields["device"].description))
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.addItem("looking for devices...", "cpu")
        self.setEnabled(False)
        self.job = Job("devices", _devices, session).start(self._fill)

    @property
    def device(self) -> str:
        """Torch's name of the chosen one: ``cpu``, ``cuda:0``; a kind (``cuda``) where GPUs are not listed apart."""
        return str(self.currentData())

    def choose(self, name: str) -> None:
        """Choose a device by torch's name, if it is there; ``auto`` is the first GPU, else the CPU."""
        names = [str(self.itemData(index)) for index in range(self.count())]
        fitting = [each for each in names if each == name or each.split(":")[0] == name]
        if name == "auto":
            fitting = [each for each in names if each != "cpu"] or names
        if fitting:
            self.setCurrentIndex(names.index(fitting[0]))

    def _fill(self, found: list[Any]) -> None:
        self.clear()
        for device in found:
            kind = device.name.split(":")[0]
            name = device.name if self.each_gpu else kind
            if self.findData(name) < 0:
                free = f", {device.free / 2**30:.1f} GiB free" if device.free else ""
                self.addItem(f"{device.words}{free}", name)
        self.setEnabled(True)
        self.choose(str(setting("device")))


def _devices(stop: StopRequest) -> Iterator[list[Any]]:
    from napari_myelin.core.runtime import devices

    yield devices()
