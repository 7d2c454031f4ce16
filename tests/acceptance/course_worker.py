"""A real worker with a fake network that marks the true lesions: the timeline is tested, not the model."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from pathlib import Path

from models.registry import model_card
from models.segmenter import ModelCard, Progress
from models.volume import Mask, Volume
from tests.fixtures.worker.phantom_timeline import TrueSegmenter, phantom_timeline
from worker.queue.tasks import run_worker
from worker.settings import load_settings


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueTimelineSegmenter:
    """Marks the true lesions of the phantom timeline; a scan is identified by its shape, which is unique."""

    card: ModelCard

    def segment(self, volume: Volume, progress: Progress) -> Mask:
        (point,) = (each for each in phantom_timeline() if each.visit.spec.shape == volume.hu.shape)
        return TrueSegmenter(lesions=point.lesions).segment(volume, progress)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    settings = load_settings(Path(sys.argv[1]))
    sys.exit(run_worker(settings, TrueTimelineSegmenter(card=model_card(settings.worker.model))))
