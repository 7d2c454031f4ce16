"""What computes a network: OpenVINO or torch, behind one interface (`engine.py`)."""
