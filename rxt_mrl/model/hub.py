"""Saving and loading through ``huggingface_hub``: safetensors weights and a config.json."""

from __future__ import annotations

from huggingface_hub import PyTorchModelHubMixin


class HubModel(PyTorchModelHubMixin):
    """Base of everything that is saved and loaded."""
