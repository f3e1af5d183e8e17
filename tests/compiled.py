"""Where compiled kernels are kept while testing. It is imported before numba.

In a folder named by the kernels' sources, so that a second run compiles nothing and an edited
kernel is never served stale. (`test_storeys.py` sees to it that nothing outside of kernels/ is
compiled.)
"""

import hashlib
import os
import tempfile
from pathlib import Path

TESTS = Path(__file__).resolve().parent

sources = sorted((TESTS.parent / "fastbp" / "kernels").rglob("*.py"))
digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources))
compiled = Path(tempfile.gettempdir()) / f"fastbp-tests-{digest.hexdigest()[:12]}"
os.environ.setdefault("NUMBA_CACHE_DIR", str(compiled))
