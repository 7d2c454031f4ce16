"""Inference engines for the networks: OpenVINO or torch, with one interface (`engine.py`)."""
