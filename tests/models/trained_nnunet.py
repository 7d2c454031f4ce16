"""A real nnU-Net, tiny: nnU-Net's own planning, preprocessing and training on four generated cases of an MSD layout.

Its pools of processes are left out: they take longer to start than all the rest takes to run.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
import torch
from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import DatasetFingerprintExtractor
from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from numpy.typing import NDArray

DATASET = "Dataset006_Lung"
CONFIGURATION = "3d_fullres"
CASES = [f"lung_{number:03d}" for number in range(4)]
LABELS = {"background": 0, "opacity": 1, "cancer": 2}
SPACING = (2.0, 1.0, 1.0)


def chest(seed: int, shape: tuple[int, int, int] = (16, 32, 32)) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """Return HU and labels: in lung, a tumour somewhere in front of (above) and a fainter opacity behind (below) it."""
    random = np.random.default_rng(seed)
    depth, rows, columns = shape
    labels = np.zeros(shape, np.uint8)
    for value, row, size in ((2, 0.3, random.uniform(6, 8)), (1, 0.75, 6.0)):
        centre = (random.uniform(0.3, 0.7) * depth, row * rows, random.uniform(0.3, 0.7) * columns)
        offsets = np.indices(shape).T - centre
        labels[(np.linalg.norm(offsets * (2.0, 1.0, 1.0), axis=-1) < size).T] = value
    hu = np.choose(labels, [-850, -300, 60]) + random.normal(0, 40, shape)
    return hu.astype(np.int16), labels


def write_nifti(array: NDArray[Any], path: Path, spacing: tuple[float, float, float] = SPACING) -> None:
    """Write an upright array (slice, row, column): x to the left, y to posterior, z to the head."""
    image = SimpleITK.GetImageFromArray(array)
    image.SetSpacing(spacing[::-1])
    SimpleITK.WriteImage(image, path)


def predicted_by_nnunet(folder: Path, image: Path, *, mirroring: bool = True) -> NDArray[np.uint8]:
    """Return what nnU-Net's own predictor makes of a file, axes (slice, row, column)."""
    with contextlib.redirect_stdout(io.StringIO()):
        predictor = nnUNetPredictor(use_mirroring=mirroring, device=torch.device("cpu"), allow_tqdm=False)
        predictor.initialize_from_trained_model_folder(str(folder), None)
        out = image.parent / f"{image.name.removesuffix('.nii.gz')}_predicted"
        predictor.predict_from_files_sequential([[str(image)]], [str(out)])
    return np.asarray(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(f"{out}.nii.gz")))


@contextlib.contextmanager
def trained(root: Path) -> Iterator[Path]:
    """Train two folds of an nnU-Net below `root`, and yield the folder that nnU-Net made of it."""
    with pytest.MonkeyPatch.context() as environment, contextlib.redirect_stdout(io.StringIO()):
        for name in ("raw", "preprocessed", "results"):
            (root / name / DATASET).mkdir(parents=True)
            environment.setenv(f"nnUNet_{name}", str(root / name))
        environment.setenv("nnUNet_n_proc_DA", "1")
        _write_raw(root / "raw" / DATASET)
        plans = _plan(root)
        _preprocess(root, plans)
        environment.setenv("nnUNet_n_proc_DA", "0")
        folders = [_train(root, plans, fold) for fold in (0, 1)]
    yield folders[0]


def _dataset() -> dict[str, Any]:
    return {
        "channel_names": {"0": "CT"},
        "labels": LABELS,
        "numTraining": len(CASES),
        "file_ending": ".nii.gz",
        "licence": "CC0-1.0",
    }


def _files(root: Path, case: str) -> tuple[list[str], str]:
    raw = root / "raw" / DATASET
    return [str(raw / "imagesTr" / f"{case}_0000.nii.gz")], str(raw / "labelsTr" / f"{case}.nii.gz")


def _write_raw(folder: Path) -> None:
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir()
    for seed, case in enumerate(CASES):
        hu, labels = chest(seed)
        write_nifti(hu, folder / "imagesTr" / f"{case}_0000.nii.gz")
        write_nifti(labels, folder / "labelsTr" / f"{case}.nii.gz")
    (folder / "dataset.json").write_text(json.dumps(_dataset()))


def _plan(root: Path) -> dict[str, Any]:
    cases = [DatasetFingerprintExtractor.analyze_case(*_files(root, case), SimpleITKIO, 1000) for case in CASES]
    bright = np.concatenate([case[2][0] for case in cases])
    low, median, high = (float(value) for value in np.percentile(bright, (0.5, 50, 99.5)))
    intensities = {"mean": bright.mean(), "std": bright.std(), "min": bright.min(), "max": bright.max()}
    fingerprint = {
        "spacings": [list(case[1]) for case in cases],
        "shapes_after_crop": [list(case[0]) for case in cases],
        "foreground_intensity_properties_per_channel": {
            "0": {name: float(value) for name, value in intensities.items()}
            | {"median": median, "percentile_00_5": low, "percentile_99_5": high}
        },
        "median_relative_size_after_cropping": 1.0,
    }
    (root / "preprocessed" / DATASET / "dataset_fingerprint.json").write_text(json.dumps(fingerprint))
    planner = ExperimentPlanner(DATASET)
    planner.UNet_base_num_features = 8
    plans: dict[str, Any] = planner.plan_experiment()
    return plans


def _preprocess(root: Path, plans: dict[str, Any]) -> None:
    manager = PlansManager(plans)
    configuration = manager.get_configuration(CONFIGURATION)
    out = root / "preprocessed" / DATASET / configuration.data_identifier
    out.mkdir()
    preprocessor = configuration.preprocessor_class(verbose=False)
    for case in CASES:
        preprocessor.run_case_save(str(out / case), *_files(root, case), manager, configuration, _dataset())
    splits = [{"train": CASES[1:], "val": CASES[:1]}, {"train": CASES[:3], "val": CASES[3:]}]
    (root / "preprocessed" / DATASET / "splits_final.json").write_text(json.dumps(splits))


def _train(root: Path, plans: dict[str, Any], fold: int) -> Path:
    torch.manual_seed(fold)
    np.random.seed(fold)
    wanted = {**plans, "continue_training": False}
    trainer = nnUNetTrainer(wanted, CONFIGURATION, fold, _dataset(), device=torch.device("cpu"))
    trainer.num_epochs, trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch = 1, 25, 1
    trainer.initial_lr = 0.1  # ten times nnU-Net's: there are 25 steps, not 250,000
    trainer.run_training()
    return Path(trainer.output_folder_base)
