"""Measure the stages of an encode job beside their lower bounds, and those of face_recognition.

One thread, CPU time. Prints a Markdown table of milliseconds per photo, and the multiply-adds of
the networks. Each bound is measured on the same machine:

* decode: libjpeg alone, through Pillow.
* detect: HOG with one filter on the pyramid's second level, which holds most faces of LFW.
* landmarks: dlib's on one face again and again, which keeps its trees in the caches.
* encode: so many multiply-adds in the product of two matrices, float32 or 8-bit integers.
"""

import argparse
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from math import prod
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from typing import Any

import dlib
import face_recognition_models
import numpy as np
import onnx
import yaml
from onnx import TensorProto, helper
from PIL import Image

from benchmarks.compare import machine
from meanface.engine.chips import PADDING, SIZE, open_cut, open_landmarks
from meanface.engine.decode import decode
from meanface.engine.embed import Embed
from meanface.engine.encoder import DlibEncoder
from meanface.engine.export import export
from meanface.engine.glance import Glance
from meanface.engine.ladder import Ladder
from meanface.engine.session import open_session
from meanface.engine.settings import EngineSettings
from meanface.process import child_environment

ROOT = Path(__file__).parents[1]
PHOTOS = ROOT.parent / "shared/lfw/lfw-subset.tgz"
STAGES = ("decode", "detect", "landmarks", "upright and chip", "encode")
TOGETHER = 16  # photos, as in an encode job
OPEN = """
import json, sys
from pathlib import Path
from meanface.engine.engine import Engine
from meanface.engine.settings import EngineSettings

settings, models = json.loads(sys.argv[1]), [Path(model) for model in sys.argv[2:]]
Engine(EngineSettings.of(settings), {model.stem: model for model in models})
"""


def per_item(work: Callable[[Any], Any], items: Sequence[Any]) -> tuple[float, list[Any]]:
    """Give the milliseconds of CPU time per item, and the results."""
    work(items[0])
    began = time.process_time()
    results = [work(item) for item in items]
    return (time.process_time() - began) / len(items) * 1000, results


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


def matrix_rate(kind: int) -> float:
    """Give the multiply-adds per millisecond in products of 384 x 384 matrices, which fit caches.

    `kind` is TensorProto.FLOAT, or TensorProto.INT8 for 8-bit integers.
    """
    side = 384
    numbers = np.random.default_rng(0).integers(0, 100, (side, side))
    given = TensorProto.UINT8 if kind == TensorProto.INT8 else kind
    result = TensorProto.INT32 if kind == TensorProto.INT8 else kind
    operator = "MatMulInteger" if kind == TensorProto.INT8 else "MatMul"
    weights = helper.make_tensor("w", kind, [side, side], numbers.ravel().tolist())
    graph = helper.make_graph(
        [helper.make_node(operator, ["x", "w"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", given, [side, side])],
        [helper.make_tensor_value_info("y", result, [side, side])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with tempfile.TemporaryDirectory() as folder:
        onnx.save(model, Path(folder, "product.onnx"))
        session = open_session(Path(folder, "product.onnx"))
    x = numbers.astype(helper.tensor_dtype_to_np_dtype(given))
    times = [per_item(lambda one: session.run(None, {"x": one}), [x])[0] for _ in range(20)]
    return side**3 / min(times)


def exported(settings: EngineSettings, folder: Path) -> dict[str, Path]:
    """Export the models of `settings` that are not in the folder yet."""
    models = {Path(name).stem: folder / name for name in settings.models}
    for name, model in models.items():
        if not model.exists():
            export(name, model)
    return models


def groups(items: Sequence[Any]) -> list[Sequence[Any]]:
    return [items[start : start + TOGETHER] for start in range(0, len(items), TOGETHER)]


def ours(
    data: Sequence[bytes], settings: EngineSettings, models: Mapping[str, Path]
) -> dict[str, float]:
    """Give the milliseconds of each stage per photo."""
    ladder, landmarks = Ladder(settings, models), open_landmarks(settings, models)
    cut, embed = open_cut(settings, models), Embed(settings, models)
    decoding, photos = per_item(lambda one: decode(one, settings.decode, 10**9), data)
    detection, found = per_item(lambda one: ladder([one])[0], photos)
    sightings = [
        (photo, *next(iter(some.items())))
        for photo, some in zip(photos, found, strict=True)
        if some
    ]
    some = groups(sightings)
    marking, _ = per_item(lambda few: landmarks([(photo, face) for photo, face, _ in few]), some)
    cutting, cuts = per_item(cut, some)
    chips = [(chip.pixels, "") for few in cuts for chip in few if chip]
    encoding, _ = per_item(embed, groups(chips))
    each = len(some) / len(sightings)
    stages = decoding, detection, marking * each, (cutting - marking) * each, encoding * each
    return dict(zip(STAGES, stages, strict=True))


def five_landmarks() -> dlib.shape_predictor:
    """Open dlib's own 5 landmarks."""
    return dlib.shape_predictor(face_recognition_models.pose_predictor_five_point_model_location())


def theirs(data: Sequence[bytes]) -> dict[str, float]:
    """Give the milliseconds of each stage of face_recognition."""
    frontal = dlib.get_frontal_face_detector()
    five = five_landmarks()
    encoder = DlibEncoder()
    decoding, photos = per_item(lambda one: decode(one, "plain", 10**9), data)
    detection, found = per_item(lambda one: frontal(one, 1), photos)
    faces = [(photo, some[0]) for photo, some in zip(photos, found, strict=True) if some]
    marking, marks = per_item(lambda one: five(*one), faces)
    marked = [(photo, mark) for (photo, _), mark in zip(faces, marks, strict=True)]
    cutting, chips = per_item(lambda one: dlib.get_face_chip(*one, SIZE, PADDING), marked)
    encoding, _ = per_item(encoder, [chip[None] for chip in chips[:20]])
    return dict(zip(STAGES, (decoding, detection, marking, cutting, encoding), strict=True))


def bounds(
    data: Sequence[bytes], models: Mapping[str, Path]
) -> tuple[dict[str, float | None], float]:
    """Give the least milliseconds of each stage, and those of the encoder with int8."""

    def libjpeg(one: bytes) -> Image.Image:
        image = Image.open(io.BytesIO(one))
        image.load()
        return image

    decoding, images = per_item(libjpeg, data)
    greys = [np.asarray(image.convert("L")) for image in images]
    second = [dlib.resize_image(grey, *(side * 5 // 6 for side in grey.shape)) for grey in greys]
    glance = Glance(models["hog"])
    detection, _ = per_item(lambda one: glance.faces_in(one, 1), second)
    landmarks = five_landmarks()
    face = dlib.rectangle(72, 72, 177, 177)
    marking, _ = per_item(lambda one: landmarks(one, face), [np.asarray(images[0])] * len(images))
    work = multiply_adds(models["encoder"], {"n": 1})
    encoding, in_integers = (
        work / matrix_rate(kind) for kind in (TensorProto.FLOAT, TensorProto.INT8)
    )
    times = decoding, detection, marking, None, encoding
    return dict(zip(STAGES, times, strict=True)), in_integers


def start(settings: EngineSettings, models: Mapping[str, Path]) -> float:
    """Give the milliseconds of CPU time that a process takes until its engine is open."""
    command = [sys.executable, "-c", OPEN, json.dumps(asdict(settings)), *map(str, models.values())]
    times = []
    for _ in range(5):
        before = getrusage(RUSAGE_CHILDREN)
        subprocess.run(command, check=True, env=child_environment())
        after = getrusage(RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return float(np.median(times)) * 1000


def measure(archive: Path, count: int) -> None:
    """Print the stages' times on `count` photos of an archive."""
    with tarfile.open(archive) as tar:
        files = [member for member in tar if member.name.lower().endswith(".jpg")]
        step = max(1, len(files) // count)
        data = [content.read() for file in files[::step] if (content := tar.extractfile(file))]
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text()) | {"device": "cpu"}
    fast = yaml.safe_load((ROOT / "config/fast.yaml").read_text())
    with tempfile.TemporaryDirectory() as folder:
        defaults, quick = EngineSettings.of(config), EngineSettings.of(config | fast)
        ways = {
            way: (one, exported(one, Path(folder)))
            for way, one in (("defaults", defaults), ("fast.yaml", quick))
        }
        _, models = ways["defaults"]
        least, in_integers = bounds(data, models)
        columns = {way: ours(data, *one) for way, one in ways.items()}
        starts = {way: start(*one) for way, one in ways.items()}
        encoder_work = multiply_adds(models["encoder"], {"n": 1})
        cnn_work = multiply_adds(models["cnn"], {"n": 1})
    columns["face_recognition"] = theirs(data)
    print(f"{len(data)} photos, {machine(1)}\n")
    print("| stage | lower bound | " + " | ".join(columns) + " |\n|---|--:|--:|--:|--:|")
    for stage in STAGES:
        bound = "" if least[stage] is None else f"{least[stage]:.2f}"
        if stage == "encode":
            bound += f", int8 {in_integers:.2f}"
        print(
            "|", " | ".join([stage, bound, *(f"{one[stage]:.2f}" for one in columns.values())]), "|"
        )
    sums = (f"{sum(one.values()):.2f}" for one in columns.values())
    print("| sum | |", " | ".join(sums), "|")
    opened = ", ".join(f"{way} {milliseconds:.0f}" for way, milliseconds in starts.items())
    print(f"\nstart of a process that encodes, in milliseconds: {opened}")
    print(f"encoder: {encoder_work / 1e6:.0f} million multiply-adds per face")
    print(f"CNN detector: {cnn_work / 1e6:.0f} million for 320x320 pixels of its pyramid")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path, nargs="?", default=PHOTOS, help="a tar of photos")
    parser.add_argument("--photos", type=int, default=200)
    arguments = parser.parse_args()
    measure(arguments.archive, arguments.photos)


if __name__ == "__main__":
    main()
