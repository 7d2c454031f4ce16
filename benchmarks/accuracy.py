"""Accuracy of nnU-Net 2d on the same patients, folds, training time and machine as our network, with the same metrics.

    python -m benchmarks.accuracy --data FOLDER --work FOLDER --minutes 25 --results FILE      (extra `nnunet`)

The data folder holds msd-slices. nnU-Net plans, preprocesses, augments and trains with its defaults, except for two
settings: training ends after --minutes minutes per fold, with a learning rate that decays with the time used, and it
computes in bfloat16 if the machine supports it, as ours does. --minutes is the training time of one of our folds, with
its share of the common pretraining. Each fold's operating point is chosen as ours. Finished steps are not repeated.
"""

# mypy: disable-error-code="import-untyped,import-not-found,misc,no-any-return"

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import SimpleITK
import torch
from numpy.typing import NDArray

from models.devices import choose_device, choose_dtype
from models.segmenter import ModelCard, Progress
from training.data.datasets import msd_slices
from training.data.splits import folds_of, read_splits
from training.data.volume import Stack
from training.evaluation.cross_validation import judge_folds, together_lines
from training.evaluation.folds import Fold
from training.evaluation.predict import predict

SPLITS = Path(__file__).parent.parent / "training" / "splits" / "lung_tumour_v2.json"
DATASET = "Dataset606_Slices"
PLANS, CONFIGURATION = "nnUNetPlans", "2d"
BATCH = 12
"""Batch size. nnU-Net plans a larger one, for a GPU, with which a CPU would complete only a few steps."""
SLICE_SPACING_MM = 5.0
"""Spacing written for nnU-Net: its 2d network uses the plane across the largest spacing, which must be axial."""
STEPS_FILE = "steps.txt"
ROUNDS = 20
"""Number of intervals of the training time; after each, nnU-Net validates once and does its end-of-epoch work."""


def main() -> None:
    """Prepare the data, train all folds, and print their metrics."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--results", type=Path)
    args = parser.parse_args()
    for name in ("raw", "preprocessed", "results"):  # nnU-Net reads them at import
        os.environ[f"nnUNet_{name}"] = str(args.work / name)
    os.environ.setdefault("nnUNet_n_proc_DA", "1")
    os.environ.setdefault("nnUNet_compile", "false")
    stacks = list(msd_slices(args.data / "msd-slices"))
    test_patients = folds_of(read_splits(SPLITS)["msd"])
    plans = _prepared(args.work, stacks, test_patients)
    folds = []
    for number, patients in enumerate(test_patients):
        trained = _trained(args.work, plans, number, 60 * args.minutes)
        model = NnunetFold(trained, number)
        own = [stack for stack in stacks if stack.patient in set(patients)]
        folds.append(Fold(card=model.card, held_back=predict(model, own), validation=[]))
    results = {"minutes": args.minutes, "steps": _steps(args.work, len(folds)), **judge_folds(folds)}
    for line in together_lines(results):
        print(f"nnU-Net 2d, {line}")
    if args.results is not None:
        args.results.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", encoding="utf-8")


class NnunetFold:
    """One fold of nnU-Net with the interface that `predict` requires: probabilities on a stack's own grid."""

    def __init__(self, folder: Path, fold: int) -> None:
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

        self._device = choose_device("auto")
        self._predictor = nnUNetPredictor(device=self._device, allow_tqdm=False)
        self._predictor.initialize_from_trained_model_folder(str(folder), (fold,))

    @property
    def card(self) -> ModelCard:
        """A model card with the fields that the evaluation reads."""
        return ModelCard(
            name="nnunet 2d",
            version="",
            weights_file="",
            weights_sha256="",
            licence="",
            threshold=0.5,
            smallest_lesion_ml=0.1,
        )

    def probability(
        self,
        hu: NDArray[np.float32],
        spacing: tuple[float, float, float],
        progress: Progress,
        field: NDArray[np.bool_] | None = None,  # noqa: ARG002
    ) -> NDArray[np.float32]:
        """Return nnU-Net's tumour probability, with its default test-time mirroring (eight variants)."""
        with torch.autocast(self._device.type, choose_dtype(self._device)):
            _, probabilities = self._predictor.predict_single_npy_array(
                hu[None], {"spacing": [SLICE_SPACING_MM, *spacing[1:]]}, None, None, True
            )
        progress(1.0)
        return np.asarray(probabilities[1], np.float32)


def _prepared(work: Path, stacks: Sequence[Stack], test_patients: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Write one case per patient, run nnU-Net's planning and preprocessing, and return its plans.

    nnU-Net samples all cases equally often, and slices with tumour more often within a case. With one case per stack,
    most of which are single slices without tumour, it would learn to mark nothing.
    """
    patients = {stack.patient: [one for one in stacks if one.patient == stack.patient] for stack in stacks}
    planned = work / "preprocessed" / DATASET / f"{PLANS}.json"
    if not (work / "preprocessed" / DATASET / "splits_final.json").is_file():
        _write_raw(work / "raw" / DATASET, patients)
        from nnunetv2.experiment_planning.plan_and_preprocess_api import (
            extract_fingerprints,
            plan_experiments,
            preprocess,
        )

        extract_fingerprints([606], num_processes=1, check_dataset_integrity=True)
        plan_experiments([606])
        plans = json.loads(planned.read_text(encoding="utf-8"))
        plans["configurations"][CONFIGURATION]["batch_size"] = BATCH
        planned.write_text(json.dumps(plans), encoding="utf-8")
        preprocess([606], PLANS, (CONFIGURATION,), (1,))
        splits = [
            {
                "train": [patient for patient in patients if patient not in set(own)],
                "val": [patient for patient in patients if patient in set(own)],
            }
            for own in test_patients
        ]
        (planned.parent / "splits_final.json").write_text(json.dumps(splits), encoding="utf-8")
    plans = json.loads(planned.read_text(encoding="utf-8"))
    assert isinstance(plans, dict)
    return plans


def _write_raw(folder: Path, patients: Mapping[str, Sequence[Stack]]) -> None:
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for patient, own in patients.items():
        hu = np.concatenate([np.asarray(stack.hu) for stack in own])
        mask = np.concatenate([np.asarray(stack.mask) for stack in own]).astype(np.uint8)
        _write(hu, folder / "imagesTr" / f"{patient}_0000.nii.gz", own[0].spacing_mm)
        _write(mask, folder / "labelsTr" / f"{patient}.nii.gz", own[0].spacing_mm)
    content = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "cancer": 1},
        "numTraining": len(patients),
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(content), encoding="utf-8")


def _write(array: NDArray[Any], path: Path, spacing: tuple[float, float, float]) -> None:
    image = SimpleITK.GetImageFromArray(array)
    image.SetSpacing((spacing[2], spacing[1], SLICE_SPACING_MM))
    SimpleITK.WriteImage(image, path)


def _trained(work: Path, plans: Mapping[str, Any], fold: int, seconds: float) -> Path:
    """Train a fold for this time, unless it is trained already, and return the folder of all folds."""
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    folder = work / "results" / DATASET / f"nnUNetTrainer__{PLANS}__{CONFIGURATION}"
    if (folder / f"fold_{fold}" / "checkpoint_final.pth").is_file():
        return folder
    dataset = json.loads((work / "raw" / DATASET / "dataset.json").read_text(encoding="utf-8"))
    device = choose_device("auto")
    torch.manual_seed(fold)
    trainer = nnUNetTrainer({**plans, "continue_training": False}, CONFIGURATION, fold, dataset, device=device)
    with torch.autocast(device.type, choose_dtype(device)):
        steps = _train_for(trainer, seconds)
    (folder / f"fold_{fold}" / STEPS_FILE).write_text(str(steps), encoding="utf-8")
    return folder


def _train_for(trainer: Any, seconds: float) -> int:  # noqa: ANN401 - a class of nnU-Net
    """Run the loop of nnUNetTrainer.run_training until the time is up, and return the number of steps."""
    trainer.on_train_start()
    started, count = perf_counter(), 0
    for number in range(ROUNDS):
        trainer.on_epoch_start()
        trainer.on_train_epoch_start()
        steps: list[Any] = []
        while not steps or perf_counter() - started < seconds * (number + 1) / ROUNDS:
            used = min(1.0, (perf_counter() - started) / seconds)
            for group in trainer.optimizer.param_groups:
                # nnU-Net's polynomial decay, by time instead of epochs.
                group["lr"] = trainer.initial_lr * (1 - used) ** 0.9
            steps.append(trainer.train_step(next(trainer.dataloader_train)))
        trainer.on_train_epoch_end(steps)
        with torch.no_grad():
            trainer.on_validation_epoch_start()
            trainer.on_validation_epoch_end([trainer.validation_step(next(trainer.dataloader_val))])
        trainer.on_epoch_end()
        count += len(steps)
    trainer.on_train_end()
    return count


def _steps(work: Path, folds: int) -> list[int]:
    """Return the number of training steps of each fold."""
    folder = work / "results" / DATASET / f"nnUNetTrainer__{PLANS}__{CONFIGURATION}"
    return [int((folder / f"fold_{fold}" / STEPS_FILE).read_text(encoding="utf-8")) for fold in range(folds)]


if __name__ == "__main__":
    main()
