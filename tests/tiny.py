"""Options of what the tests simulate and train: small enough for seconds."""

from __future__ import annotations

from napari_myelin.core.options import Options
from napari_myelin.core.options_file import options_from, preset
from napari_myelin.core.phantom.options import PhantomOptions

PHANTOM = PhantomOptions(patients=3, controls=2, shape=(32, 40, 32), spacing=4.88, seed=3)


def tiny_options(**training: object) -> Options:
    """Return options that train in seconds: two maps, a grid of 32 x 48 x 32 at most."""
    network = {"maps": 2, "discriminator_maps": 2}
    schedule = {"epochs": 1, "validate_every": 1, **training}
    return options_from({"network": network, "training": schedule, "runtime": {"device": "cpu"}}, preset("demo"))


def tiny_accurate(**training: object) -> Options:
    """Return the accurate preset at the same size: cubes of 16, with its average, cosine and variance."""
    schedule = {"epochs": 2, "validate_every": 1, "crop": 16, **training}
    # in float32 wherever the tests run, so that they are about the same numbers
    runtime = {"device": "cpu", "precision": "32-true"}
    given = {"data": {"validation": 0.34}, "network": {"maps": 2}, "training": schedule, "runtime": runtime}
    return options_from(given, preset("accurate"))
