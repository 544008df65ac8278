"""Hides this project from a process: it forgets that the project is installed in editable mode.

Python imports this file at its start when the folder is in ``PYTHONPATH``.
"""

import sys

sys.meta_path[:] = [
    finder for finder in sys.meta_path if "__editable__" not in getattr(finder, "__module__", "")
]
