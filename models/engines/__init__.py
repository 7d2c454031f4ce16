"""Inference engines for the networks: OpenVINO or torch, with one interface (`engine.py`)."""

import sys

# OpenVINO sends an event on each conversion to Google Analytics, unless its user has opted out. Where its package for
# this cannot be imported, it has a stub instead that sends nothing.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
