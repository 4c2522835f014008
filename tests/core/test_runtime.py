"""Seeds, noise, devices: randomness that depends on nothing but its seed and key."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from napari_myelin.core.errors import MyelinError, UsageError
from napari_myelin.core.options import RuntimeOptions
from napari_myelin.core.precision import resolve_precision
from napari_myelin.core.runtime import (
    Alone,
    _processes,
    derive_seed,
    devices,
    fill_noise,
    free_memory,
    launch,
    launch_prediction,
    out_of_memory,
    precision_of,
    resolve_device,
    seeded,
    to_device,
)


def test_a_derived_seed_depends_on_seed_and_key_and_never_changes() -> None:
    # written down, so that models trained with older versions can be trained again
    assert derive_seed(0, "weights") == 1042513217767021
    keys = [(), ("a",), ("a", 1), ("a", 2), ("b", 1), (1, 1), (11,)]
    assert len({derive_seed(seed, *key) for seed in (0, 1) for key in keys}) == 2 * len(keys)


def test_noise_is_standard_normal_one_channel_and_the_seeds_own() -> None:
    mri = torch.zeros(2, 4, 16, 24, 16)
    noise = fill_noise(mri, 3, "noise", "sub-01")
    assert noise.shape == (2, 1, 16, 24, 16)
    assert float(noise.mean()) == pytest.approx(0, abs=0.03)
    assert float(noise.std()) == pytest.approx(1, abs=0.03)
    torch.testing.assert_close(fill_noise(mri, 3, "noise", "sub-01"), noise, rtol=0, atol=0)
    assert not torch.equal(fill_noise(mri, 3, "noise", "sub-02"), noise)


def test_a_seeded_block_leaves_the_outer_stream_untouched() -> None:
    torch.manual_seed(1)
    outer = torch.rand(4)
    torch.manual_seed(1)
    with seeded(torch.device("cpu"), 5, "dropout"):
        first = torch.rand(4)
    torch.testing.assert_close(torch.rand(4), outer, rtol=0, atol=0)
    with seeded(torch.device("cpu"), 5, "dropout"):
        torch.testing.assert_close(torch.rand(4), first, rtol=0, atol=0)


def test_a_network_goes_to_the_device_in_channels_last_memory_with_its_values() -> None:
    network = torch.nn.Conv3d(2, 3, 3)
    before = network.weight.detach().clone()
    to_device(network, torch.device("cpu"))
    assert network.weight.is_contiguous(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(network.weight.detach(), before, rtol=0, atol=0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_device_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(MyelinError, match='device "cuda" is not available here: choose one of cpu'):
        resolve_device("cuda")


def test_half_precision_on_the_cpu_is_refused() -> None:
    with pytest.raises(UsageError, match=r"16-mixed.*needs a GPU"):
        launch(RuntimeOptions(device="cpu", precision="16-mixed"))


def test_more_gpus_than_there_are_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(MyelinError, match="4 CUDA devices are asked for and 1 are here: lower --devices"):
        launch(RuntimeOptions(device="cuda", devices=4))


def test_what_torchrun_started_is_what_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _processes(RuntimeOptions(devices=2, num_nodes=3)) == (2, 3)
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    assert _processes(RuntimeOptions()) == (4, 2)
    assert _processes(RuntimeOptions(devices=4, num_nodes=2)) == (4, 2)
    with pytest.raises(UsageError, match="torchrun started 8 processes, the options ask for 3"):
        _processes(RuntimeOptions(devices=3))


@pytest.mark.parametrize(("precision", "kind"), [("32-true", torch.float32), ("bf16-mixed", torch.bfloat16)])
def test_a_prediction_on_one_device_is_alone_and_computes_in_its_precision(precision: str, kind: torch.dtype) -> None:
    options = RuntimeOptions.model_validate({"device": "cpu", "precision": precision})
    alone, fabric = launch_prediction(options), launch(options)
    assert isinstance(alone, Alone)
    for each in (alone, fabric):
        with each.autocast():
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == kind
        each.barrier()
        assert (each.device, each.global_rank, each.world_size, each.is_global_zero) == (fabric.device, 0, 1, True)
    with pytest.raises(UsageError, match=r"16-mixed.*needs a GPU"):
        launch_prediction(RuntimeOptions(device="cpu", precision="16-mixed"))


def test_who_predicts_does_not_wait_for_libraries_of_training_and_statistics() -> None:
    heavy = {"lightning_fabric", "torch._dynamo", "scipy.stats", "sklearn", "skimage", "matplotlib"}
    code = f"import sys, napari_myelin.core.inference.cohort; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 byte"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("GET was unable to find an engine to execute this computation"), True),
        (RuntimeError("Unable to find a valid cuDNN algorithm to run convolution"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_BAD_PARAM"), False),
        (RuntimeError("size mismatch"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_running_out_of_memory_is_known_however_it_is_said(error: Exception, answer: bool) -> None:
    assert out_of_memory(error) is answer


def test_free_memory_is_some_bytes_of_this_machine() -> None:
    assert 0 <= free_memory(torch.device("cpu")) < 2**50


def test_devices_are_named_as_torch_names_them_with_their_free_memory() -> None:
    found = devices()
    assert found[0].name == "cpu"
    assert found[0].words.startswith("CPU, ")
    assert found[0].free > 0
    assert len(found) == 1 + torch.cuda.device_count() + torch.backends.mps.is_available()
    for each in found:
        assert torch.zeros(1, device=each.name).device.type == each.name.split(":")[0]


@pytest.mark.parametrize("native", [True, False])
def test_auto_is_bfloat16_on_a_gpu_or_processor_that_computes_in_it_and_float32_elsewhere(
    native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # torch says yes of any GPU unless it is asked not to count what it works around
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: native or including_emulation)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": native, "avx512_f": True})
    gpu, cpu, mps = (torch.device(name) for name in ("cuda", "cpu", "mps"))
    assert resolve_precision("auto", gpu) == resolve_precision("auto", cpu) == ("bf16-mixed" if native else "32-true")
    assert resolve_precision("auto", mps) == resolve_precision("32-true", gpu) == "32-true"
    assert resolve_precision("bf16-mixed", cpu) == "bf16-mixed"
    if native:
        assert resolve_precision("bf16-mixed", gpu) == "bf16-mixed"
    else:
        with pytest.raises(UsageError, match='this GPU does not compute in bfloat16, use "16-mixed" or "32-true"'):
            resolve_precision("bf16-mixed", gpu)


def test_a_processor_of_another_kind_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    # torch lists other things for ARM
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"architecture": "aarch64", "neon": True, "bf16": True})
    assert resolve_precision("auto", torch.device("cpu")) == "32-true"
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": False, "amx_bf16": True})
    assert resolve_precision("auto", torch.device("cpu")) == "bf16-mixed"
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert resolve_precision("auto", torch.device("cpu")) == "32-true"


def test_what_auto_came_to_is_what_is_launched_without_a_word_of_the_library(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    options = RuntimeOptions(device="cpu", precision="auto")
    assert precision_of(launch(options)) == precision_of(launch_prediction(options)) == "32-true"
    half = RuntimeOptions(device="cpu", precision="bf16-mixed")
    caplog.clear()
    assert precision_of(launch(half)) == precision_of(launch_prediction(half)) == "bf16-mixed"
    assert not caplog.records
