"""What the engine leaves of a worker's memory, seen in a process of its own under the limit that workers have."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
MEASURE = """
import resource
from imports.mapping.compiled import compile_mapping
from imports.mapping.expression import Expression
assert Expression("a + 1")({"a": 1}) == 2
resource.setrlimit(resource.RLIMIT_DATA, (256 << 20, 256 << 20))
print(len(bytearray(100 << 20)))
"""


def test_the_engine_leaves_the_memory_of_the_smallest_worker_to_its_batch() -> None:
    done = subprocess.run([sys.executable, "-c", MEASURE], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout == f"{100 << 20}\n", done.stderr
