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
from models.segmenter import ModelCard, Progress
from training.cross_validation import Fold, judge_folds, together_lines
from training.datasets import msd_slices
from training.evaluate import predict
from training.splits import folds_of, read_splits
from training.stack import Stack

SPLITS = Path(__file__).parent.parent / "training" / "splits" / "lung_tumour_v2.json"
DATASET = "Dataset606_Slices"
PLANS, CONFIGURATION = "nnUNetPlans", "2d"
BATCH = 12
"""Examples a step. nnU-Net plans more, for a GPU: on a CPU it would see a handful of steps."""
APART_MM = 5.0
"""Between slices, for nnU-Net: its 2d network takes the plane across the largest spacing; that must be axial."""
STEPS_A_ROUND = 10
"""After so many steps nnU-Net validates, once, and the learning rate falls."""


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
        self, hu: NDArray[np.float32], spacing: tuple[float, float, float], progress: Progress
    ) -> NDArray[np.float32]:
        """Return nnU-Net's softmax of tumour, mirrored eight ways as it does by default."""
        with torch.autocast(self._device.type, choose_dtype(self._device)):
            _, probabilities = self._predictor.predict_single_npy_array(
                hu[None], {"spacing": [APART_MM, *spacing[1:]]}, None, None, True
            )
        progress(1.0)
        return np.asarray(probabilities[1], np.float32)


def _prepared(work: Path, stacks: Sequence[Stack], held_back: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Write the stacks as nnU-Net wants them, let it plan and preprocess, and return its plans."""
    planned = work / "preprocessed" / DATASET / f"{PLANS}.json"
    if not (work / "preprocessed" / DATASET / "splits_final.json").is_file():
        _write_raw(work / "raw" / DATASET, stacks)
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
                "train": [_name(stack) for stack in stacks if stack.patient not in set(patients)],
                "val": [_name(stack) for stack in stacks if stack.patient in set(patients)],
            }
            for patients in held_back
        ]
        (planned.parent / "splits_final.json").write_text(json.dumps(splits), encoding="utf-8")
    plans = json.loads(planned.read_text(encoding="utf-8"))
    assert isinstance(plans, dict)
    return plans


def _name(stack: Stack) -> str:
    return stack.name.replace("/", "_")


def _write_raw(folder: Path, stacks: Sequence[Stack]) -> None:
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for stack in stacks:
        _write(stack.hu, folder / "imagesTr" / f"{_name(stack)}_0000.nii.gz", stack.spacing_mm)
        _write(stack.mask.astype(np.uint8), folder / "labelsTr" / f"{_name(stack)}.nii.gz", stack.spacing_mm)
    content = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "cancer": 1},
        "numTraining": len(stacks),
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
    trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch = STEPS_A_ROUND, 1
    with torch.autocast(device.type, choose_dtype(device)):
        _train_for(trainer, seconds)
    return folder


def _train_for(trainer: Any, seconds: float) -> None:  # noqa: ANN401 - a class of nnU-Net
    """Do what nnUNetTrainer.run_training does, until the time is up."""
    trainer.on_train_start()
    began = perf_counter()
    while (used := (perf_counter() - began) / seconds) < 1:
        trainer.on_epoch_start()
        trainer.on_train_epoch_start()
        for group in trainer.optimizer.param_groups:
            group["lr"] = trainer.initial_lr * (1 - used) ** 0.9  # nnU-Net's own fall, by time instead of epochs
        steps = [trainer.train_step(next(trainer.dataloader_train)) for _ in range(STEPS_A_ROUND)]
        trainer.on_train_epoch_end(steps)
        with torch.no_grad():
            trainer.on_validation_epoch_start()
            trainer.on_validation_epoch_end([trainer.validation_step(next(trainer.dataloader_val))])
        trainer.on_epoch_end()
    trainer.on_train_end()


def _steps(work: Path, folds: int) -> list[int]:
    """Return how many steps each fold took in its time."""
    folder = work / "results" / DATASET / f"nnUNetTrainer__{PLANS}__{CONFIGURATION}"
    checkpoints = [
        torch.load(folder / f"fold_{fold}" / "checkpoint_final.pth", weights_only=False, map_location="cpu")
        for fold in range(folds)
    ]
    return [STEPS_A_ROUND * int(checkpoint["current_epoch"]) for checkpoint in checkpoints]


if __name__ == "__main__":
    main()
