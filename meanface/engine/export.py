"""Export dlib's models to files that a worker opens fast: networks as ONNX, landmarks as an array.

The encoder is dlib's `face_recognition_model_v1`, cnn its `cnn_face_detection_model_v1`, hog its
`get_frontal_face_detector`, which dlib takes most of a second to unpack. ONNX Runtime gives the
results of dlib, up to the rounding of float32, more than ten times as fast.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import dlib

from meanface.engine.dlib_landmarks import read_landmarks
from meanface.engine.dlib_network import Reader
from meanface.engine.weights import read_weights
from meanface.files.arrays import save_array
from meanface.files.atomic import replacing


def export(model: str, target: Path) -> None:
    """Write one of dlib's models to `target`; the same bytes every time.

    * encoder: ONNX, from "chips", uint8 (n, 150, 150, 3) RGB, to "embeddings", float32 (n, 128).
    * encoder_int8: the same in integers of 8 bits, see `meanface.engine.int8`.
    * cnn: ONNX, from "pyramids", float32 (n, 3, rows, columns) as `meanface.engine.cnn` makes them,
      to "scores", float32 (n, rows, columns), above zero at a face. The file's metadata has the
      detector's settings as JSON, under "detector".
    * hog: what `dlib.fhog_object_detector` reads.
    * landmarks5, landmarks68: what `meanface.engine.landmarks` reads, .npy of 8 and 68 MB.

    Raises UserError where a weight file is not the published one.
    """
    _EXPORTS[model](target)


def _export_hog(target: Path) -> None:
    with replacing(target) as part:
        dlib.get_frontal_face_detector().save(str(part))


def _export_landmarks(weights: str, points: int, features: int, target: Path) -> None:
    save_array(target, read_landmarks(read_weights(weights), points, features))


def _export_network(name: str, weights: str, target: Path) -> None:
    # Imported here, because the import takes longer than the export of the other models.
    import onnx

    from meanface.engine.int8 import Calibration, Int8Graph
    from meanface.engine.onnx_graphs import Graph, detector_graph, encoder_graph

    reader = Reader(read_weights(weights))
    if name == "cnn":
        network = detector_graph(reader)
    elif name == "encoder_int8":
        calibration = Calibration.read()
        network = encoder_graph(reader, Int8Graph(calibration), calibration.correction)
    else:
        network = encoder_graph(reader, Graph())
    onnx.checker.check_model(network, full_check=True)
    with replacing(target) as part:
        part.write_bytes(network.SerializeToString(deterministic=True))


_EXPORTS: dict[str, Callable[[Path], None]] = {
    "encoder": partial(_export_network, "encoder", "encoder"),
    "encoder_int8": partial(_export_network, "encoder_int8", "encoder"),
    "cnn": partial(_export_network, "cnn", "cnn"),
    "hog": _export_hog,
    "landmarks5": partial(_export_landmarks, "landmarks5", 5, 800),
    "landmarks68": partial(_export_landmarks, "landmarks68", 68, 500),
}
