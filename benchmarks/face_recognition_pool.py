"""What a user writes without meanface: face_recognition, with its defaults, in a process pool.

Reads a folder of photos, writes embeddings.npy (float64 (n, 128)), paths.txt and failures.txt.
"""

import argparse
from multiprocessing import Pool
from pathlib import Path

import face_recognition
import numpy as np
from numpy.typing import NDArray


def encode(photo: Path) -> tuple[Path, NDArray[np.float64] | None]:
    """Give the embedding of the first face found, None where there is none or no image."""
    try:
        image = face_recognition.load_image_file(photo)
    except Exception:  # Pillow raises errors of many kinds
        return photo, None
    faces = face_recognition.face_encodings(image)
    return photo, faces[0] if faces else None


def main() -> None:
    """Encode every file below a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--processes", type=int, required=True)
    arguments = parser.parse_args()

    photos = sorted(file for file in arguments.photos.rglob("*") if file.is_file())
    with Pool(arguments.processes) as pool:
        results = list(pool.imap(encode, photos, chunksize=16))
    encoded = [(photo, embedding) for photo, embedding in results if embedding is not None]
    failed = [photo for photo, embedding in results if embedding is None]
    arguments.output.mkdir(parents=True, exist_ok=True)
    np.save(arguments.output / "embeddings.npy", [embedding for _, embedding in encoded])
    for name, listed in (("paths.txt", [photo for photo, _ in encoded]), ("failures.txt", failed)):
        lines = [photo.relative_to(arguments.photos).as_posix() + "\n" for photo in listed]
        (arguments.output / name).write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
