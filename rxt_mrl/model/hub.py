"""Saving and loading through ``huggingface_hub``: safetensors weights and a config.json.

``save_pretrained``, ``from_pretrained`` and ``push_to_hub`` come from ``PyTorchModelHubMixin``. A checkpoint of
another class, another layout or with other keys is refused; nothing is left at random values.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from huggingface_hub import PyTorchModelHubMixin, constants, hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError
from torch import Tensor, nn

from ..errors import UserError
from ..files import read_json, read_tensors, write_json, write_tensors
from .config import RxTConfig
from .presets import build

FORMAT = "rxt-mrl"


class HubModel(PyTorchModelHubMixin, library_name="rxt-mrl"):
    """Base of everything that is saved and loaded: a module with a ``config``."""

    config: RxTConfig

    def _hub_arguments(self) -> dict[str, Any]:
        """Constructor arguments besides the configuration."""
        return {}

    @classmethod
    def _hub_build(cls, config: RxTConfig, arguments: dict[str, Any]) -> Self:
        """A fresh instance of saved settings."""
        return cls(config, **arguments)

    def _save_pretrained(self, save_directory: Path) -> None:
        settings = {
            "format": FORMAT,
            "class": type(self).__name__,
            "arguments": self._hub_arguments(),
            "config": self.config.model_dump(mode="json"),
        }
        write_json(save_directory / constants.CONFIG_NAME, settings)
        tensors = {name: tensor.detach().contiguous() for name, tensor in unique_tensors(self).items()}
        write_tensors(save_directory / constants.SAFETENSORS_SINGLE_FILE, tensors, {"format": "pt"})

    @classmethod
    def _from_pretrained(cls, *, model_id: str, map_location: str = "cpu", config: Any = None, **options: Any) -> Self:
        del config  # read again below: the whole file is needed, not only its "config" key
        where = {key: options[key] for key in ("revision", "cache_dir", "force_download", "local_files_only", "token")}
        settings = read_json(fetch(model_id, constants.CONFIG_NAME, **where))
        if settings.get("format") != FORMAT:
            raise UserError(
                f"{model_id}: not a checkpoint of {FORMAT}; published RxNN and RxLM checkpoints are read by "
                f"`rxt-mrl convert`"
            )
        for name, kind in (("class", str), ("config", dict), ("arguments", dict)):
            if not isinstance(settings.get(name), kind):
                raise UserError(f"{model_id}: {constants.CONFIG_NAME} is damaged: {name} = {settings.get(name)!r}")
        if (held := settings["class"]) != cls.__name__:
            raise UserError(f"{model_id}: holds a {held}, not a {cls.__name__}; load it with {held}.from_pretrained")
        model = cls._hub_build(build(settings["config"]), settings["arguments"])
        assert isinstance(model, nn.Module)
        load_tensors(model, read_tensors(fetch(model_id, constants.SAFETENSORS_SINGLE_FILE, **where)), model_id)
        model.to(map_location).eval()
        return model


def unique_tensors(model: nn.Module | HubModel) -> dict[str, Tensor]:
    """Parameters and buffers by name, shared ones (the embedding) once."""
    assert isinstance(model, nn.Module)
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def load_tensors(model: nn.Module, tensors: dict[str, Tensor], source: str) -> None:
    """Copy tensors into a model's parameters and buffers of the same names.

    Raises:
        UserError: when names or shapes differ.
    """
    targets = unique_tensors(model)
    if missing := sorted(targets.keys() - tensors.keys()):
        raise UserError(f"{source}: {len(missing)} tensors are missing, the first is {missing[0]}")
    if unknown := sorted(tensors.keys() - targets.keys()):
        raise UserError(f"{source}: {len(unknown)} tensors are unknown, the first is {unknown[0]}")
    for name, target in targets.items():
        if tensors[name].shape != target.shape:
            shapes = f"{tuple(tensors[name].shape)}; allowed: {tuple(target.shape)}"
            raise UserError(f"{source}: {name} has shape {shapes}")
        if tensors[name].is_floating_point() != target.is_floating_point():
            raise UserError(f"{source}: {name} holds {tensors[name].dtype}; allowed: {target.dtype}")
        target.data.copy_(tensors[name])


def fetch(source: str | Path, filename: str, **options: Any) -> Path:
    """A file of a local folder or of a Hub repository.

    Raises:
        UserError: when it is not there or cannot be fetched.
    """
    if Path(source).is_dir():
        path = Path(source) / filename
        if not path.is_file():
            raise UserError(f"{source}: the folder has no {filename}")
        return path
    try:
        return Path(hf_hub_download(str(source), filename, **options))
    except LocalEntryNotFoundError as error:
        raise UserError(f"{source}: no such folder, and the Hub cannot be reached for {filename}") from error
    except EntryNotFoundError as error:
        raise UserError(f"{source}: the Hub repository has no {filename}") from error
    except (HfHubHTTPError, ValueError, OSError) as error:
        raise UserError(f"{source}: no such folder or Hub repository ({type(error).__name__})") from error
