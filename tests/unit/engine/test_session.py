"""Sessions of ONNX Runtime: their errors are the library's."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from meanface.engine.session import run_session

NO_ROOM_FOR_A_COPY = """
import resource, sys
from pathlib import Path
import numpy as np
from meanface.engine.session import open_session, run_session

session = open_session(Path(sys.argv[1]))
striped = np.zeros((1, 3, 4000, 4000), np.float32)[:, :, ::2]
assert run_session(session, {"x": striped}).shape == (1, 3, 1, 1)
used = int(Path("/proc/self/status").read_text().split("VmData:")[1].split()[0]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (used + striped.nbytes // 2,) * 2)
try:
    run_session(session, {"x": striped})
except MemoryError:
    print("MemoryError")
"""


NO_ROOM_FOR_THE_MODEL = """
import resource, sys
from pathlib import Path
from meanface.engine.session import open_session

used = int(Path("/proc/self/status").read_text().split("VmData:")[1].split()[0]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (used + 20_000_000,) * 2)
try:
    open_session(Path(sys.argv[1]))
except MemoryError:
    print("MemoryError")
"""


def printed_with_little_memory(script: str, graph: onnx.GraphProto, model: Path) -> str:
    """Run a script, which gets the model of a graph; give what it prints."""
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), model)
    command = [sys.executable, "-c", script, str(model)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return done.stdout


def test_memory_that_runs_out_for_a_model_is_a_memory_error(tmp_path: Path) -> None:
    weights = numpy_helper.from_array(np.ones(16_000_000, np.float32), "w")
    given, result = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [16_000_000]) for name in "xy"
    )
    node = helper.make_node("Add", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "sum", [given], [result], [weights])
    printed = printed_with_little_memory(NO_ROOM_FOR_THE_MODEL, graph, tmp_path / "sum.onnx")
    assert printed == "MemoryError\n"


def test_memory_that_runs_out_for_an_input_is_a_memory_error(tmp_path: Path) -> None:
    shapes: list[list[str | int | None]] = [["n", 3, None, None], ["n", 3, 1, 1]]
    given, result = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in zip("xy", shapes, strict=True)
    )
    node = helper.make_node("GlobalMaxPool", ["x"], ["y"])
    graph = helper.make_graph([node], "maximum", [given], [result])
    printed = printed_with_little_memory(NO_ROOM_FOR_A_COPY, graph, tmp_path / "maximum.onnx")
    assert printed == "MemoryError\n"


@pytest.mark.parametrize(
    ("text", "raised"),
    [
        ("Failed to allocate memory for requested buffer of size 40000", MemoryError),
        ("std::bad_alloc", MemoryError),
        ("Got invalid dimensions for input: chips", RuntimeError),
    ],
)
def test_what_onnxruntime_raises_is_told_apart(text: str, raised: type[Exception]) -> None:
    class Session:
        def run(self, outputs: None, inputs: dict[str, object]) -> None:
            raise RuntimeError(text)

    with pytest.raises(raised, match=text[:12]):
        run_session(Session(), {})
