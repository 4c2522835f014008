"""What a run does where it cannot go on as it was asked to: in a smaller way, or without a compiler."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from napari_myelin.core.errors import MyelinError
from napari_myelin.core.events import Noted, SteppedDown
from napari_myelin.core.networks.parts import set_forgetting
from napari_myelin.core.runtime import out_of_memory, release_memory
from napari_myelin.core.training.compiling import NOTE, by_compiler, leave_plain, reason
from napari_myelin.core.training.keeper import Keeper
from napari_myelin.core.training.step import StageNets
from napari_myelin.core.training.stepdown import Change, next_smaller, next_window

WayOut = Callable[[], SteppedDown | Noted]


class Fallback(Keeper):
    """A run that knows a way out of what it can do without."""

    def way_out(self, error: Exception, nets: StageNets, step: int) -> WayOut | None:
        """Return what is to be done before the same is tried again, which returns the event that says so.

        Parameters
        ----------
        error
            What was raised.
        nets
            Of the stage.
        step
            In which step of the epoch, from 1; 0 in the validation after it.

        Returns
        -------
        Callable or None
            To be called once nothing holds what was made before the error; None where there is no way out.

        Raises
        ------
        MyelinError
            Where there is one for a run that is resumed: of several processes the others wait in the middle of a step.
        """
        several = self.fabric.world_size > 1
        if not out_of_memory(error):
            if not self.options.runtime.compile or self.uncompiled or not by_compiler(error):
                return None
            if several:
                raise MyelinError(
                    f"torch.compile failed ({reason(error)}): --resume without --compile goes on"
                ) from error
            return partial(self._go_plain, nets, reason(error))
        if several and step == 0:
            return None
        smaller = (next_smaller if step else next_window)(self.options, self.ground.grid.shape)
        if smaller is None:
            return None
        if several:
            raise self.leave(smaller) from error
        return partial(self._go_smaller, nets, smaller, step)

    def _go_plain(self, nets: StageNets, problem: str) -> Noted:
        """Do without a compiler from here on, as one that fails at the first try is done without."""
        self.uncompiled, note = problem, NOTE.format(problem)
        leave_plain(self.cascade.stages)
        if nets.discriminator is not None:
            leave_plain([nets.discriminator])
        release_memory()
        self.ground.notes.append(note)
        return Noted("--compile", note)

    def _go_smaller(self, nets: StageNets, smaller: dict[str, Change], step: int) -> SteppedDown:
        """Let smaller options hold from the next step on."""
        if self.ground.shelf is not None:
            self.ground.shelf.clear()
        release_memory()
        self.step_down(smaller)
        for network in (nets.generator, nets.discriminator):
            if network is not None:
                set_forgetting(network, self.options.training.checkpointing)
        event = SteppedDown(self.names[self.position.stage], self.position.epoch + 1, step, smaller)
        self.ground.notes.append(event.sentence)  # whoever uses the model reads it on its card
        return event
