"""The offer to have an unsaved mask back, in words."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from napari_myelin.core.evaluation.components import components
from napari_myelin.widgets.lesions.journal import Found
from napari_myelin.widgets.opening import open_later

if TYPE_CHECKING:
    from napari_myelin.widgets.lesions.panel import LesionsPanel


def offer_recovery(panel: LesionsPanel) -> None:
    """Offer the newest unsaved mask; where no subject is on show, offer to open the one that it belongs to."""
    recovery, session = panel.work.recovery, panel.session
    if not recovery.offers:
        if isinstance(panel.offer.about, Found):
            panel.offer.withdraw()
        return
    if not panel.offer.isHidden() and not isinstance(panel.offer.about, Found):
        return  # it comes when that is answered
    found, *more = recovery.offers
    count = len(components(found.mask.array).sizes)
    when = time.localtime(found.when)
    today = time.strftime("%Y%m%d", when) == time.strftime("%Y%m%d")
    clock = time.strftime("%H:%M" if today else "%d %b %Y, %H:%M", when)
    text = f"An unsaved mask of {found.key} from {clock} ({count} lesion{'' if count == 1 else 's'}) was found."
    if more:
        text += f" There {'is 1' if len(more) == 1 else f'are {len(more)}'} more."
    if session.subject is None:
        answers = {"Open": lambda: open_later(session, Path(found.dataset), show=found.key)} if found.dataset else {}
        panel.offer.make(text + ("" if answers else " It is offered when its subject is opened."), answers, found)
        return
    if found.dataset != panel.work.dataset:
        text += f" It was drawn in {found.dataset or 'no cohort'}."
    sure = {"Delete it for good": lambda: recovery.discard(found), "Keep it": lambda: None}
    answers = {
        "Restore": lambda: recovery.restore(found),
        "Discard": lambda: panel.offer.make(f"The unsaved mask of {found.key} from {clock} is deleted.", sure, found),
    }
    panel.offer.make(text, answers, found)
