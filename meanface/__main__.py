"""The command `meanface`: which version is installed, and its models as files for an image."""

import argparse
from pathlib import Path

from meanface import __version__

MODELS = ("encoder.onnx", "cnn.onnx", "cnn_cuda.onnx", "hog.svm", "front.svm", "landmarks.npy")
"""Every file that `meanface.engine.settings.EngineSettings.models` can ask for."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; `--version` prints and exits."""
    parser = argparse.ArgumentParser(prog="meanface", description=__doc__)
    parser.add_argument("--version", action="version", version=f"meanface {__version__}")
    parser.add_argument(
        "--export-models", type=Path, metavar="FOLDER", help="write all models to this folder"
    )
    folder = parser.parse_args(arguments).export_models
    if folder:
        export_models(folder)
    else:
        parser.print_help()


def export_models(folder: Path) -> None:
    """Write every model to `folder`, under the name by which the workflow asks for it.

    Raises UserError where a weight file is not the published one.
    """
    from meanface.engine.export import export  # slow to import, and not needed for --version

    folder.mkdir(parents=True, exist_ok=True)
    for name in MODELS:
        export(Path(name).stem, folder / name)


if __name__ == "__main__":
    main()
