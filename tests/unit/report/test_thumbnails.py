"""Thumbnails, against the pixels of photos made by hand."""

import base64
import io
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from meanface.report.thumbnails import face_images, photo_images
from tests.unit.report.test_pixels import png, settings, write_tar


def opened(address: str) -> Image.Image:
    head, _, content = address.partition(",")
    assert head == "data:image/webp;base64"
    return Image.open(io.BytesIO(base64.b64decode(content)))


def test_faces_and_photos_become_images(tmp_path: Path) -> None:
    photo = np.zeros((100, 100, 3), dtype=np.uint8)
    photo[:50, :50] = (200, 0, 0)
    photo[50:, 50:] = (0, 0, 200)
    tars = {"a": write_tar(tmp_path / "a.tar", {"1.png": png(photo), "2.png": png(photo[::-1])})}
    faces = pd.DataFrame(
        {
            "path": ["1.png", "1.png", "2.png"],
            "left": [15, 65, 15],
            "top": [15, 65, 15],
            "right": [34, 84, 34],
            "bottom": [34, 84, 34],
            "score": 1.0,
            "shard": "a",
        },
        index=[4, 7, 9],
    )
    images = face_images(faces, {96: [4, 7], 56: [7]}, tars, settings())
    assert {size: set(some) for size, some in images.items()} == {96: {4, 7}, 56: {7}}
    assert opened(images[96][4]).size == (96, 96)
    assert opened(images[56][7]).size == (56, 56)
    red, blue = (np.asarray(opened(images[96][row])).mean(axis=(0, 1)) for row in (4, 7))
    assert np.abs(red - (200, 0, 0)).max() < 8
    assert np.abs(blue - (0, 0, 200)).max() < 8
    whole = photo_images(faces.iloc[2:], 160, tars, settings())
    assert list(whole) == ["2.png"]
    assert opened(whole["2.png"]).size == (160, 160)
