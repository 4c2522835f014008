"""The options of a prediction as rows of a form, for one subject and for a cohort alike."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtWidgets import QFormLayout, QLabel, QWidget

from napari_myelin.core.prediction_options import PredictionOptions
from napari_myelin.widgets.editors import label_of, tooltip_of


def option_rows(device: QWidget, editors: Mapping[str, QWidget]) -> QFormLayout:
    """Return a form: the device, then a row for each option's editor, label and tooltip from the option itself."""
    rows = QFormLayout()
    rows.setVerticalSpacing(4)
    rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    rows.addRow("Device", device)
    for name, editor in editors.items():
        label = QLabel(label_of(name) + (" (draws)" if name == "uncertainty" else ""))
        for each in (label, editor):
            each.setToolTip(tooltip_of(PredictionOptions.model_fields[name]))
        rows.addRow(label, editor)
    return rows
