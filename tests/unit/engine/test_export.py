"""The files that `export` writes."""

from pathlib import Path

import pytest
import yaml

from meanface.engine.export import export
from meanface.engine.settings import EngineSettings
from meanface.engine.weights import WEIGHTS
from meanface.errors import UserError
from tests.runs import ROOT


@pytest.mark.parametrize("model", ["encoder", "encoder_int8", "cnn", "hog", "landmarks5"])
def test_export_writes_the_same_bytes_again_and_nothing_else(model: str, tmp_path: Path) -> None:
    for name in ("a.onnx", "b.onnx"):
        export(model, tmp_path / name)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"a.onnx", "b.onnx"}


def test_export_refuses_other_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, sha256 = WEIGHTS["cnn"]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    changed = tmp_path / "changed.dat"
    changed.write_bytes(content)
    monkeypatch.setitem(WEIGHTS, "cnn", (changed, sha256))
    with pytest.raises(UserError, match=r"changed\.dat.*reinstall"):
        export("cnn", tmp_path / "cnn.onnx")
    assert {path.name for path in tmp_path.iterdir()} == {"changed.dat"}


@pytest.mark.parametrize(
    "wanted",
    [
        {"hog": "quick", "landmarks": 68, "device": "cpu"},
        {"detectors": ["cnn@0"], "landmarks": 5, "device": "cuda"},
    ],
    ids=str,
)
def test_every_model_that_the_settings_ask_for_can_be_exported(
    wanted: dict[str, object], tmp_path: Path
) -> None:
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
    for model in EngineSettings.of(config | wanted).models:
        export(Path(model).stem, tmp_path / model)
        assert (tmp_path / model).stat().st_size
