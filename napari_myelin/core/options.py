"""Every option once: default, unit, bounds and help.

The TOML file, the command-line flags and the app's forms are made from these classes; nothing
lists an option a second time. The defaults are the paper's (Wei et al. 2019,
doi:10.1016/j.media.2019.101546); a preset is a TOML file in ``presets/`` that says what differs.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class OptionGroup(BaseModel):
    """A group of options: immutable, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DataOptions(OptionGroup):
    """What the network sees, and on which grid."""

    modalities: tuple[str, ...] = Field(
        ("MTR", "FA", "RD", "AD"), min_length=1, description="Input maps by name, in the order of the channels."
    )
    spacing: float | None = Field(
        1.22,
        gt=0,
        le=20,
        description="Voxel size of the network's grid in mm, isotropic; none: the first training subject's own.",
    )
    shape: tuple[int, int, int] | None = Field(
        (128, 160, 128),
        description="Voxels of the network's grid along right, anterior, superior (16 or more, multiples of 8 and of "
        "the patch); none: just large enough for every training subject's brain.",
    )
    validation: float = Field(
        0.2, ge=0, lt=1, description="Share of the subjects held out, to choose the best weights and to preview."
    )
    resample: bool = Field(
        False, description="Resample maps on another grid than the subject's DVR (or first map), do not refuse them."
    )
    harmonise: bool = Field(
        False,
        description="Scale each of a subject's maps so that its mean over the brain is that of the training subjects: "
        "another scanner's scale does not shift what is predicted.",
    )
    brain_only: bool = Field(False, description="Predict 0 outside the subject's brain.")


class NetworkOptions(OptionGroup):
    """Generators and discriminators (paper, section 2.4 and figure 3)."""

    generator: Literal["unet", "two_layer", "residual"] = Field(
        "unet",
        description="3D U-Net, the two-layer DNN of Li et al. 2014 that the paper compares with, or a residual U-Net "
        "of two levels without normalisation.",
    )
    maps: int = Field(32, ge=1, le=512, description="Feature maps of the generator's first level; they double.")
    norm: Literal["instance", "none"] = Field(
        "instance",
        description="Normalisation after each activation: instance is batch norm with each sample's own "
        "statistics, in training and in prediction.",
    )
    output: Literal["leaky_relu", "linear"] = Field(
        "leaky_relu",
        description="Last layer of the U-Net: the paper's LeakyReLU, or none, which learns several times faster "
        "because the background's z-score is far below 0.",
    )
    dropout: float = Field(0.5, ge=0, lt=1, description="Dropout rate in the U-Net; off at prediction.")
    noise: bool = Field(True, description="Give the Sketcher the noise z as a further channel; off: zeros instead.")
    variance: bool = Field(
        False,
        description="The residual generator also says how uncertain it is: the measured DVR's variance in each voxel.",
    )
    region_head: bool = Field(
        False,
        description="While it trains, the residual generator also learns to tell lesion, NAWM and the rest apart.",
    )
    refiners: int = Field(1, ge=0, le=3, description="Refiners after the Sketcher; 0 is the Sketcher alone.")
    patch: int = Field(
        32, ge=8, le=128, multiple_of=8, description="Edge of the discriminator's patches in voxels; divides the grid."
    )
    discriminator_maps: int = Field(
        32, ge=1, le=512, description="Feature maps of the discriminator's first block; they double."
    )
    discriminator_blocks: int = Field(
        3, ge=1, le=3, description="Blocks of convolution, norm, activation and max-pooling in the discriminator."
    )


class LossOptions(OptionGroup):
    """The objective of each stage (equations 1 to 6)."""

    adversarial: bool = Field(
        True, description="Train against a discriminator (Eq. 2, 3); off: the reconstruction term alone."
    )
    distance: Literal["l1", "l2"] = Field(
        "l1", description="Reconstruction term: the paper's L1, or squared errors inside the brain (distance l2)."
    )
    lesion_weight: float = Field(
        1.0, ge=1, le=100, description="How many times a lesion voxel counts in the squared errors (distance l2)."
    )
    adversarial_form: Literal["non_saturating", "minimax"] = Field(
        "non_saturating", description="Generator's adversarial term: -log D(G), or log(1 - D(G)) as printed."
    )
    sketcher_l1: Literal["plain", "region"] = Field(
        "plain", description="Sketcher's L1: plain (Eq. 4) or averaged over lesion, NAWM and other (Eq. 5)."
    )
    refiner_l1: Literal["plain", "region"] = Field(
        "region", description="Refiner's L1: plain (Eq. 4) or averaged over lesion, NAWM and other (Eq. 5)."
    )
    lambda_sketcher: float = Field(100.0, ge=0, description="Weight of the Sketcher's L1 term (lambda_S, Eq. 6).")
    lambda_refiner: float = Field(100.0, ge=0, description="Weight of the Refiner's L1 term (lambda_R, Eq. 6).")


class TrainingOptions(OptionGroup):
    """How long and how fast each stage trains."""

    epochs: int = Field(400, ge=1, le=100_000, description="Epochs of each stage: the Sketcher, then each Refiner.")
    batch: int = Field(1, ge=1, le=1024, description="Subjects in one optimiser step, over all devices together.")
    sketcher_rate: float = Field(1e-4, gt=0, le=1, description="ADAM learning rate of the Sketcher's stage.")
    refiner_rate: float = Field(5e-5, gt=0, le=1, description="ADAM learning rate of each Refiner's stage.")
    seed: int = Field(0, ge=0, lt=2**31, description="Seed of weights, order, noise, dropout and the held-out subset.")
    validate_every: int = Field(10, ge=1, description="Epochs between validations on the held-out subjects.")
    crop: int = Field(
        0,
        ge=0,
        le=512,
        multiple_of=8,
        description="Edge in voxels of the random cubes that a step trains on; 0: the whole volume.",
    )
    crops: int = Field(1, ge=1, le=64, description="Cubes that a step takes of a subject, where crop is not 0.")
    window: int = Field(
        0,
        ge=0,
        le=512,
        multiple_of=8,
        description="Edge in voxels of the overlapping windows that the model predicts in, at validation and "
        "afterwards; 0: the whole volume. Where the networks normalise, take the crop: statistics are then alike.",
    )
    focus: float = Field(
        0.5, ge=0, le=1, description="Share of the cubes that are put on a lesion, in subjects who have one."
    )
    jitter: float = Field(
        0.0, ge=0, le=1, description="SD of a random gain and offset of each map, in its own SD, for each cube."
    )
    field: float = Field(
        0.0, ge=0, le=0.5, description="SD of each cube's smooth gain, as of a transmit field; not of FA, RD, AD, MD."
    )
    symmetry: Literal["none", "sides", "axes"] = Field(
        "none",
        description="Mirror each cube at random: left to right (sides), or along each of its axes (axes), which a "
        "network that learns of few subjects needs.",
    )
    schedule: Literal["constant", "cosine"] = Field(
        "constant", description="Learning rate: as given, or after a short rise down a half cosine to a hundredth."
    )
    average: float = Field(
        0.0, ge=0, lt=1, description="Keep this share of a running average of the weights at each step; 0: no average."
    )
    clip: float = Field(0.0, ge=0, description="Longest gradient of the generator, as a norm; 0: any.")
    checkpointing: bool = Field(
        False,
        description="Hold only what goes between the networks' parts and compute the rest again on the way back: less "
        "memory for more time, the same gradients.",
    )
    select: Literal["best", "last"] = Field(
        "best", description="Which weights a stage ends with: lowest validation loss, or those after the last epoch."
    )


class RuntimeOptions(OptionGroup):
    """Where it runs. None of these changes what is learnt, beyond rounding."""

    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="Processor to run on.")
    devices: int = Field(1, ge=1, description="Devices on each node.")
    num_nodes: int = Field(1, ge=1, description="Nodes (machines).")
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = Field(
        "32-true",
        description="Arithmetic; auto: bf16-mixed on a CUDA GPU or an x86 processor that computes in it, else 32-true.",
    )
    threads: int = Field(0, ge=0, description="CPU threads; 0 leaves the choice to torch.")
    compile: bool = Field(
        False,
        description="Let torch.compile fuse the networks' operations, which takes minutes once and may pay on a GPU; "
        "where it cannot, the run says so and goes on without.",
    )


class ThresholdOptions(OptionGroup):
    """Below which DVR a lesion voxel counts as demyelinated."""

    threshold: Literal["global", "template", "value"] = Field(
        "global",
        description="global: mean - k SD over the WM voxels of the training controls; template: the same voxel by "
        "voxel in template space; value: the DVR given as threshold-value.",
    )
    threshold_k: float = Field(1.0, ge=0, le=10, description="Standard deviations below the controls' mean.")
    threshold_value: float | None = Field(None, gt=0, description="DVR threshold, where threshold is value.")
    threshold_probability: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="Chance of a measured DVR below the threshold from which a voxel is predicted to be demyelinated, "
        "where the model says its variance; 0.5 compares the predicted DVR itself.",
    )

    @model_validator(mode="after")
    def _value_given(self) -> ThresholdOptions:
        if self.threshold == "value" and self.threshold_value is None:
            raise ValueError('threshold is "value" but threshold_value is not given')
        return self


class Options(OptionGroup):
    """Everything that decides a training run."""

    preset: str = Field("paper", description="Name of the preset these options started from.")
    data: DataOptions = DataOptions()
    network: NetworkOptions = NetworkOptions()
    loss: LossOptions = LossOptions()
    training: TrainingOptions = TrainingOptions()
    runtime: RuntimeOptions = RuntimeOptions()
    demyelination: ThresholdOptions = ThresholdOptions()

    @model_validator(mode="after")
    def _networks_can(self) -> Options:
        for head in ("variance", "region_head"):
            if getattr(self.network, head) and (self.network.generator, self.loss.distance) != ("residual", "l2"):
                raise ValueError(f'{head} needs generator "residual" and distance "l2"')
        if self.training.field and self.training.crop and self.network.refiners and not self.training.window:
            raise ValueError("field needs a window where Refiners are: a whole volume's sketch is without a field")
        if self.loss.adversarial and self.training.crop % self.network.patch:
            raise ValueError(f"crop {self.training.crop} must be a multiple of the patch ({self.network.patch})")
        for name, edge in (("crop", self.training.crop), ("window", self.training.window)):
            if 0 < edge < 16:
                raise ValueError(f"{name} {edge} must be 16 or more, or 0 for the whole volume")
        return self

    @model_validator(mode="after")
    def _shape_fits(self) -> Options:
        if self.data.shape is not None:
            for edge in self.data.shape:
                if edge < 16 or edge % 8 or (self.loss.adversarial and edge % self.network.patch):
                    patch = f"the discriminator's patch ({self.network.patch})"
                    raise ValueError(f"shape {self.data.shape} must be multiples of 8, 16 or more, and of {patch}")
        return self
