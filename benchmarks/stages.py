"""Measure the stages of the encode job and of face_recognition, with one thread.

Prints a Markdown table of milliseconds per photo, and the multiply-adds of the two networks.
"""

import argparse
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path
from typing import Any

import dlib
import face_recognition_models
import numpy as np
import onnx
import yaml

from meanface.engine.chips import PADDING, SIZE, open_landmarks
from meanface.engine.decode import decode
from meanface.engine.encoder import DlibEncoder, OnnxEncoder
from meanface.engine.export import export
from meanface.engine.ladder import Ladder
from meanface.engine.session import open_session
from meanface.engine.settings import EngineSettings

ROOT = Path(__file__).parents[1]
PHOTOS = ROOT.parent / "shared/lfw/lfw-subset.tgz"


def per_item(work: Callable[[Any], Any], items: Sequence[Any]) -> tuple[float, list[Any]]:
    """Give the milliseconds per item, and the results."""
    work(items[0])
    began = time.perf_counter()
    results = [work(item) for item in items]
    return (time.perf_counter() - began) / len(items) * 1000, results


def multiply_adds(model: Path, shape: dict[str, int]) -> float:
    """Count the multiply-adds of a model's convolutions for an input with these dimensions."""
    network = onnx.load(model)
    for dimension in network.graph.input[0].type.tensor_type.shape.dim:
        if dimension.dim_param or not dimension.dim_value:
            dimension.dim_value = shape[dimension.dim_param] if dimension.dim_param else 320
    graph = onnx.shape_inference.infer_shapes(network).graph
    shapes = {
        value.name: [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        for value in [*graph.value_info, *graph.output]
    }
    filters = {constant.name: constant.dims for constant in graph.initializer}
    return float(
        sum(
            prod(shapes[node.output[0]]) * prod(filters[node.input[1]][1:])
            for node in graph.node
            if node.op_type == "Conv"
        )
    )


def measure(archive: Path, count: int) -> None:
    """Print the stages' times on `count` photos of an archive."""
    with tarfile.open(archive) as tar:
        files = [member for member in tar if member.name.lower().endswith(".jpg")]
        step = max(1, len(files) // count)
        data = [content.read() for file in files[::step] if (content := tar.extractfile(file))]
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    settings = EngineSettings.of(config | {"device": "cpu"})
    with tempfile.TemporaryDirectory() as folder:
        models = {name.split(".")[0]: Path(folder, name) for name in settings.models}
        for name, model in models.items():
            export(name, model)
        ladder, landmarks = Ladder(settings, models), open_landmarks(settings, models)
        encoder = OnnxEncoder(open_session(models["encoder"]))
        encoder_work = multiply_adds(models["encoder"], {"n": 1})
        cnn_work = multiply_adds(models["cnn"], {"n": 1})

    frontal = dlib.get_frontal_face_detector()
    five = dlib.shape_predictor(face_recognition_models.pose_predictor_five_point_model_location())
    reference = DlibEncoder()

    decoding, photos = per_item(lambda one: decode(one, "full", 10**9), data)
    detection, found = per_item(lambda one: list(ladder([one])[0]), photos)
    faces = [(photo, some[0]) for photo, some in zip(photos, found, strict=True) if some]
    groups = [faces[start : start + 16] for start in range(0, len(faces), 16)]
    marking, marked_groups = per_item(landmarks, groups)
    marking *= len(groups) / len(faces)
    marks = [mark for group in marked_groups for mark in group]
    marked = [(photo, shape) for (photo, _), shape in zip(faces, marks, strict=True)]
    cutting, chips = per_item(lambda one: dlib.get_face_chip(*one, SIZE, PADDING), marked)
    batches = [np.stack(chips[start : start + 16]) for start in range(0, len(chips), 16)]
    encoding, _ = per_item(encoder, batches)
    encoding *= len(batches) / len(chips)

    rows = [
        ("decode", decoding, per_item(lambda one: decode(one, "plain", 10**9), data)[0]),
        ("detect", detection, per_item(lambda one: frontal(one, 1), photos)[0]),
        ("landmarks", marking, per_item(lambda one: five(one[0], one[1].rect), marked)[0]),
        (
            "chip and encode",
            cutting + encoding,
            cutting + per_item(reference, [chip[None] for chip in chips[:20]])[0],
        ),
    ]
    print("| stage | meanface, defaults | face_recognition |\n|---|--:|--:|")
    total = ("sum", sum(ours for _, ours, _ in rows), sum(theirs for *_, theirs in rows))
    for stage, ours, theirs in [*rows, total]:
        print(f"| {stage} | {ours:.1f} | {theirs:.1f} |")
    print(f"\nencoder: {encoder_work / 1e6:.0f} million multiply-adds per face")
    print(f"cnn detector: {cnn_work / 1e6:.0f} million per 320x320 pixels of its pyramid")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path, nargs="?", default=PHOTOS, help="a tar of photos")
    parser.add_argument("--photos", type=int, default=200)
    arguments = parser.parse_args()
    measure(arguments.archive, arguments.photos)


if __name__ == "__main__":
    main()
