"""What a process imports."""

import subprocess
import sys

LEFT_OUT = """
import sys
import numpy as np
import pyarrow as pa
from meanface.process import leave_out

leave_out("pandas")
assert pa.array(np.arange(3)).to_pylist() == [0, 1, 2]
assert "pandas" not in sys.modules
try:
    import pandas
except ModuleNotFoundError as error:
    print(error.name)
import json
"""


def test_pyarrow_computes_without_the_module_that_is_left_out() -> None:
    done = subprocess.run([sys.executable, "-c", LEFT_OUT], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "pandas\n", "")
