"""Calibrate the encoder in integers: write meanface/engine/int8.json from the faces of the sample.

Two of the sample's faces at a time are bent, mixed and lit at random, so that many people come of
the three. The same numbers come out every time, up to the rounding of float32.
"""

import tarfile
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import yaml
from numpy.typing import NDArray
from PIL import Image

from meanface.engine.chips import SIZE, open_cut
from meanface.engine.decode import PhotoError, decode
from meanface.engine.dlib_network import Reader
from meanface.engine.export import export
from meanface.engine.int8 import Calibration, Int8Graph
from meanface.engine.ladder import Ladder
from meanface.engine.onnx_graphs import Graph, encoder_graph
from meanface.engine.outcome import DIMENSIONS
from meanface.engine.settings import EngineSettings
from meanface.engine.weights import read_weights

ROOT = Path(__file__).parents[1]
PEOPLE = 1200
FOR_RANGES = 300  # of these
BATCH = 20
BINS = 4096
# Activations behind this one tell people apart. Other people go beyond what these faces reach.
DEEP, BEYOND = 19, 2.2


class Observed(Graph):
    """A graph that notes which activations are rounded."""

    def __init__(self) -> None:
        super().__init__()
        self.activations: list[str] = []

    def rounded(self, x: str, like: str | None = None) -> str:
        if not like:
            self.activations.append(x)
        return x


def faces_of_sample() -> list[NDArray[np.float64]]:
    """Give the chips of all faces of the bundled sample, (150, 150, 3), from 0 to 1."""
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
    settings = EngineSettings.of(config | {"device": "cpu", "face": "all"})
    with tempfile.TemporaryDirectory() as folder:
        models = {Path(name).stem: Path(folder, name) for name in settings.models}
        for name, model in models.items():
            export(name, model)
        ladder, cut = Ladder(settings, models), open_cut(settings, models)
    chips = []
    with tarfile.open(ROOT / "sample/sample.tar.gz") as tar:
        for member in tar:
            content = tar.extractfile(member)
            try:
                photo = decode(content.read() if content else b"", "full", settings.max_pixels)
            except PhotoError:
                continue
            [faces] = ladder([photo])
            chips += [chip for chip in cut([(photo, *found) for found in faces.items()]) if chip]
    return [chip.pixels / 255 for chip in chips]


def people(faces: list[NDArray[np.float64]]) -> NDArray[np.uint8]:
    """Make chips of people, uint8 (PEOPLE, 150, 150, 3)."""
    random = np.random.default_rng(1)

    def field(points: int, deviation: float) -> NDArray[np.float64]:
        """Give a smooth field (150, 150) through `points` x `points` random numbers."""
        drawn = Image.fromarray(random.normal(0, deviation, (points, points)).astype(np.float32))
        return np.asarray(drawn.resize((SIZE, SIZE), Image.Resampling.BICUBIC), np.float64)

    def bent() -> NDArray[np.float64]:
        face = faces[random.integers(len(faces))]
        face = face[:, ::-1] if random.random() < 1 / 2 else face
        turn, shift = np.radians(random.normal(0, 3)), random.normal(0, 2, 2)
        scale, bend = np.exp(random.normal(0, 0.05, 2)), max(0, random.uniform(-3, 6))
        y, x = np.mgrid[:SIZE, :SIZE] - SIZE / 2
        x, y = x * scale[0] * np.cos(turn) - y * np.sin(turn), y * scale[1] + x * np.sin(turn)
        return pixels_at(
            face, x + SIZE / 2 + shift[0] + field(5, bend), y + SIZE / 2 + shift[1] + field(5, bend)
        )

    def person() -> NDArray[np.uint8]:
        share = random.uniform(0, 4)
        mixed = 1 / (1 + np.exp(-field(4, share)))[:, :, None]
        face = bent() * mixed + bent() * (1 - mixed) if random.random() < 2 / 3 else bent()
        face = face ** np.exp(random.normal(0, 0.25)) * np.exp(random.normal(0, [0.14] * 3))
        face = (face - 1 / 2) * np.exp(random.normal(0, 0.15)) + 1 / 2
        face = face * np.exp(field(4, random.uniform(0, 0.5)))[:, :, None]
        face = face + random.normal(0, random.uniform(0, 0.01), face.shape)
        return np.asarray((face.clip(0, 1) * 255).round(), np.uint8)

    return np.stack([person() for _ in range(PEOPLE)])


def pixels_at(
    image: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Give the pixels at places between pixels, by bilinear interpolation; the edge goes on."""
    x, y = x.clip(0, SIZE - 1.001), y.clip(0, SIZE - 1.001)
    left, top = x.astype(int), y.astype(int)
    right, down = (x - left)[:, :, None], (y - top)[:, :, None]
    above = image[top, left] * (1 - right) + image[top, left + 1] * right
    below = image[top + 1, left] * (1 - right) + image[top + 1, left + 1] * right
    return np.asarray(above * (1 - down) + below * down)


def opened(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )


def encoder(graph: Graph) -> onnx.ModelProto:
    return encoder_graph(Reader(read_weights("encoder")), graph)


def encoded(session: onnxruntime.InferenceSession, chips: NDArray[np.uint8]) -> NDArray[np.float64]:
    parts = [chips[start : start + BATCH] for start in range(0, len(chips), BATCH)]
    return np.concatenate([session.run(None, {"chips": part})[0] for part in parts], dtype=float)


def ranges_of(chips: NDArray[np.uint8]) -> list[tuple[float, float]]:
    """Give the range in which each activation is rounded.

    A range ends where the sum of the squared errors is least: of rounding to 255 steps, and of
    values beyond the range.
    """
    graph = Observed()
    model = encoder(graph)
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in graph.activations)
    session = opened(model)
    batches = [chips[start : start + BATCH] for start in range(0, len(chips), BATCH)]

    def least_and_most(batch: NDArray[np.uint8]) -> list[tuple[float, float]]:
        values = session.run(graph.activations, {"chips": batch})
        return [(float(value.min()), float(value.max())) for value in values]

    extremes = np.array([least_and_most(batch) for batch in batches])
    lows, highs = extremes[:, :, 0].min(axis=0), extremes[:, :, 1].max(axis=0)
    counts = np.zeros((len(lows), BINS))
    for batch in batches:
        values = session.run(graph.activations, {"chips": batch})
        for number, value in enumerate(values):
            counts[number] += np.histogram(value, BINS, (lows[number], highs[number]))[0]
    ranges = [
        best_range(low, high, count) if number < DEEP else (low * BEYOND, high * BEYOND)
        for number, (low, high, count) in enumerate(zip(lows, highs, counts, strict=True))
    ]
    ranges[0] = 0.0, 255.0  # pixels are integers already
    return [(round(float(low), 4), round(float(high), 4)) for low, high in ranges]


def best_range(low: float, high: float, counts: NDArray[np.float64]) -> tuple[float, float]:
    """Give the range of least squared error for values between low and high, counted in bins."""
    values = low + (np.arange(BINS) + 1 / 2) * (high - low) / BINS
    shares = np.linspace(0.3, 1, 29)
    lows = low * shares if low < 0 else [0.0]
    errors = {
        (a, b): ((values - values.clip(a, b)) ** 2 * counts).sum() / counts.sum()
        + ((b - a) / 255) ** 2 / 12
        for a in lows
        for b in high * shares
    }
    return min(errors, key=lambda one: errors[one])


def calibrated() -> Calibration:
    """Measure ranges and correction, and print how far embeddings move."""
    chips = people(faces_of_sample())
    ranges = ranges_of(chips[:FOR_RANGES])
    uncorrected = Int8Graph(Calibration(ranges, np.zeros(DIMENSIONS)))
    exact = encoded(opened(encoder(Graph())), chips)
    errors = exact - encoded(opened(encoder(uncorrected)), chips)
    mean = errors.mean(axis=0)
    print(f"{len(chips)} people: embeddings move by {np.linalg.norm(errors, axis=1).mean():.3f},")
    print(f"their mean by {np.linalg.norm(mean):.4f}, which is corrected")
    return Calibration(ranges, mean.round(6))


if __name__ == "__main__":
    calibrated().write()
