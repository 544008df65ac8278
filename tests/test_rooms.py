"""A room imports only from the rooms above it, and no module imports itself through others.

The table of rooms is in docs/architecture.md. Imports are read from the sources, those inside
functions and under ``TYPE_CHECKING`` included.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

LIBRARY = (
    "hub_model",
    "corpus_builder",
    "speech_emotion.predict",
    "speech_emotion.baselines",
    "speech_emotion.training",
    "speech_emotion.evaluation",
    "speech_emotion.cli",
    "speech_emotion",
)
"""Rooms in their order: each may import those before it, and the pure functions of METRICS."""

METRICS = "speech_emotion.metrics"

ROOMS: dict[str, tuple[str, ...]] = {
    **{room: (*LIBRARY[:number], METRICS) for number, room in enumerate(LIBRARY)},
    "hub_model": (),
    "corpus_builder": ("hub_model",),
    METRICS: (),
    "train": (*LIBRARY, METRICS),
    "evaluate_benchmarks": (*LIBRARY, METRICS),
    "recipes": (*LIBRARY, METRICS),
    "metrics": (),
    "space": ("speech_emotion.predict",),  # where it is installed, for its server
    "benchmarks": (*LIBRARY, METRICS, "train", "scripts"),
    "scripts": (*LIBRARY, METRICS, "recipes", "space"),
}
"""Each room, and the rooms it may import besides itself."""

FLAT = ("space", "metrics.ser")
"""Folders whose files import each other by their bare names, as they do when copied out."""


def modules_of(root: Path) -> dict[str, Path]:
    """Every module of the rooms below ``root``, by its dotted name."""
    found = {}
    for room in {name.split(".")[0] for name in ROOMS}:
        single = root / f"{room}.py"
        for path in [single] if single.is_file() else sorted((root / room).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(name: str, modules: dict[str, Path]) -> Iterator[str]:
    """The modules of ours that a module imports, anywhere in its source."""
    path = modules[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    flat = next((folder for folder in FLAT if name.startswith(f"{folder}.")), None)

    def known(target: str) -> Iterator[str]:
        if flat and f"{flat}.{target}" in modules:
            yield f"{flat}.{target}"
            return
        while target and target not in modules:  # what is imported may be no module
            target = target.rpartition(".")[0]
        # A module knows its own package; importing from it is importing nothing new.
        if target and target != name:
            yield target

    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from known(alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *([node.module] if node.module else [])])
            for alias in node.names:
                yield from known(f"{base}.{alias.name}")
        elif (
            isinstance(node, ast.Call)
            and getattr(node.func, "attr", getattr(node.func, "id", "")) == "import_module"
            and isinstance(node.args[0], ast.Constant)
        ):
            yield from known(node.args[0].value)


def graph_of(root: Path) -> dict[str, set[str]]:
    """The imports of every module below ``root``."""
    modules = modules_of(root)
    return {name: set(imports_of(name, modules)) for name in modules}


def room_of(module: str) -> str:
    """The innermost room of a module."""
    inside = [room for room in ROOMS if f"{module}.".startswith(f"{room}.")]
    return max(inside, key=len)


def wrong_arrows(graph: dict[str, set[str]]) -> list[str]:
    """Every import from a room that the importing room may not use."""
    wrong = []
    for name, targets in graph.items():
        room = room_of(name)
        for target in sorted(targets):
            # The package speech_emotion itself holds nothing but its version.
            if room_of(target) not in (room, *ROOMS[room]) and target != "speech_emotion":
                wrong.append(f"{name} imports {target}")
    return sorted(wrong)


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that reach each other by imports (strongly connected, by Tarjan)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for target in sorted(graph.get(name, ())):
            if target not in index:
                visit(target)
                low[name] = min(low[name], low[target])
            elif target in stack:
                low[name] = min(low[name], index[target])
        if low[name] == index[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1:
                found.append(sorted(group))

    for name in sorted(graph):
        if name not in index:
            visit(name)
    return sorted(found)


def test_no_room_imports_from_a_room_below_it():
    assert wrong_arrows(graph_of(ROOT)) == []


def test_no_module_imports_itself_through_others():
    assert cycles(graph_of(ROOT)) == []


def test_every_room_is_read():
    """A test of the paths: an empty graph would have neither wrong arrows nor cycles."""
    graph = graph_of(ROOT)
    assert {room_of(name) for name in graph} == set(ROOMS)
    assert "speech_emotion.training.provenance" in graph["speech_emotion.evaluation.leaks"]
    assert "hub_model.audio" in graph["speech_emotion.evaluation.classifiers"]
    assert "hub_model.labels" in graph["hub_model.calls"]  # a relative import


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A tree of two rooms without a fault."""
    files = {
        "hub_model/__init__.py": "from .audio import load",
        "hub_model/audio.py": "import numpy",
        "corpus_builder/__init__.py": "",
        "corpus_builder/build.py": "from hub_model import audio\nfrom . import sources",
        "corpus_builder/sources/__init__.py": "from corpus_builder.sources import base",
        "corpus_builder/sources/base.py": "import numpy",
        "space/app.py": "import clips",
        "space/clips.py": "import gradio",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_tree_without_a_fault_passes(made):
    graph = graph_of(made)
    assert wrong_arrows(graph) == [] and cycles(graph) == []
    assert graph["space.app"] == {"space.clips"}
    assert graph["corpus_builder.build"] == {"hub_model.audio", "corpus_builder.sources"}


@pytest.mark.parametrize(
    "line",
    [
        "import corpus_builder.build",
        "from corpus_builder import build",
        "from corpus_builder.build import main",
        "def lazy():\n    from corpus_builder.build import main",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import corpus_builder.build",
        "import importlib\nimportlib.import_module('corpus_builder.build')",
    ],
)
def test_a_wrong_arrow_is_found_however_it_is_written(line, made):
    (made / "hub_model/audio.py").write_text(line)
    arrow = "hub_model.audio imports corpus_builder.build"
    assert wrong_arrows(graph_of(made)) == [arrow]
    assert cycles(graph_of(made)) == [["corpus_builder.build", "hub_model.audio"]]


def test_the_space_may_import_nothing_of_ours(made):
    (made / "space/clips.py").write_text("from hub_model.audio import load")
    assert wrong_arrows(graph_of(made)) == ["space.clips imports hub_model.audio"]


def test_a_cycle_within_a_room_is_found(made):
    (made / "hub_model/timeline.py").write_text("def f():\n    from .audio import load")
    (made / "hub_model/audio.py").write_text("from . import timeline")
    assert cycles(graph_of(made)) == [["hub_model.audio", "hub_model.timeline"]]
    assert wrong_arrows(graph_of(made)) == []
