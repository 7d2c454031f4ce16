"""nnU-Net 2d beside our network: the same patients, folds, minutes and machine, judged by the same code.

    python -m benchmarks.accuracy --data FOLDER --work FOLDER --minutes 25 --results FILE      (extra `nnunet`)

FOLDER of data holds msd-slices. nnU-Net plans, preprocesses, augments and trains as it does everywhere; two things are
set: training ends after so many minutes a fold, its learning rate falling with the time used, and it computes in
bfloat16 where the machine has it, as ours does. --minutes is what a fold of ours took, with its share of what all
folds began with. Each fold's operating point is chosen as ours is. What is done already is not done again.
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
from models.lung_tumour.predictors import EVERYWHERE, Area
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
"""Examples a step. nnU-Net plans more, for a GPU: on a CPU it would see a handful of steps."""
APART_MM = 5.0
"""Between slices, for nnU-Net: its 2d network takes the plane across the largest spacing; that must be axial."""
STEPS_FILE = "steps.txt"
ROUNDS = 20
"""In which the time is cut: after each nnU-Net validates once, and writes what it writes after each of its epochs."""


def main() -> None:
    """Prepare, train and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--results", type=Path)
    args = parser.parse_args()
    for name in ("raw", "preprocessed", "results"):  # nnU-Net reads them when it is imported
        os.environ[f"nnUNet_{name}"] = str(args.work / name)
    os.environ.setdefault("nnUNet_n_proc_DA", "1")
    os.environ.setdefault("nnUNet_compile", "false")
    stacks = list(msd_slices(args.data / "msd-slices"))
    held_back = folds_of(read_splits(SPLITS)["msd"])
    plans = _prepared(args.work, stacks, held_back)
    folds = []
    for number, patients in enumerate(held_back):
        trained = _trained(args.work, plans, number, 60 * args.minutes)
        model = Peer(trained, number)
        own = [stack for stack in stacks if stack.patient in set(patients)]
        folds.append(Fold(card=model.card, held_back=predict(model, own), validation=[]))
    found = {"minutes": args.minutes, "steps": _steps(args.work, len(folds)), **judge_folds(folds)}
    for line in together_lines(found):
        print(f"nnU-Net 2d, {line}")
    if args.results is not None:
        args.results.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")


class Peer:
    """A fold of nnU-Net as what `predict` wants: probabilities on a stack's own grid."""

    def __init__(self, folder: Path, fold: int) -> None:
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

        self._device = choose_device("auto")
        self._predictor = nnUNetPredictor(device=self._device, allow_tqdm=False)
        self._predictor.initialize_from_trained_model_folder(str(folder), (fold,))

    @property
    def card(self) -> ModelCard:
        """What the judging asks of a card."""
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
        area: Area = EVERYWHERE,  # noqa: ARG002
    ) -> NDArray[np.float32]:
        """Return nnU-Net's softmax of tumour, mirrored eight ways as it does by default."""
        with torch.autocast(self._device.type, choose_dtype(self._device)):
            _, probabilities = self._predictor.predict_single_npy_array(
                hu[None], {"spacing": [APART_MM, *spacing[1:]]}, None, None, True
            )
        progress(1.0)
        return np.asarray(probabilities[1], np.float32)


def _prepared(work: Path, stacks: Sequence[Stack], held_back: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Write a case for each patient, let nnU-Net plan and preprocess, and return its plans.

    nnU-Net draws cases alike, and of a case slices with tumour more often: with a case for each stack, most of them
    lone slices without tumour, it learns to mark nothing.
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
            for own in held_back
        ]
        (planned.parent / "splits_final.json").write_text(json.dumps(splits), encoding="utf-8")
    plans = json.loads(planned.read_text(encoding="utf-8"))
    assert isinstance(plans, dict)
    return plans


def _write_raw(folder: Path, patients: Mapping[str, Sequence[Stack]]) -> None:
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for patient, own in patients.items():
        hu = np.concatenate([stack.hu for stack in own])
        mask = np.concatenate([stack.mask for stack in own]).astype(np.uint8)
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
    image.SetSpacing((spacing[2], spacing[1], APART_MM))
    SimpleITK.WriteImage(image, path)


def _trained(work: Path, plans: Mapping[str, Any], fold: int, seconds: float) -> Path:
    """Train a fold for so long, where that was not done, and return the folder of all folds."""
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
    """Do what nnUNetTrainer.run_training does until the time is up, and return how many steps that were."""
    trainer.on_train_start()
    began, count = perf_counter(), 0
    for number in range(ROUNDS):
        trainer.on_epoch_start()
        trainer.on_train_epoch_start()
        steps: list[Any] = []
        while not steps or perf_counter() - began < seconds * (number + 1) / ROUNDS:
            used = min(1.0, (perf_counter() - began) / seconds)
            for group in trainer.optimizer.param_groups:
                group["lr"] = trainer.initial_lr * (1 - used) ** 0.9  # nnU-Net's own fall, by time instead of epochs
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
    """Return how many steps each fold took in its time."""
    folder = work / "results" / DATASET / f"nnUNetTrainer__{PLANS}__{CONFIGURATION}"
    return [int((folder / f"fold_{fold}" / STEPS_FILE).read_text(encoding="utf-8")) for fold in range(folds)]


if __name__ == "__main__":
    main()
