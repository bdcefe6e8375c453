"""Who imports whom, what starts nothing when it is imported, and what no file may contain."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PACKAGES = ("era", "storage", "annotation")
FOLDERS = (*PACKAGES, "benchmarks", "tests")

PRODUCT = sorted([REPOSITORY / "app.py", *(file for name in PACKAGES for file in (REPOSITORY / name).rglob("*.py"))])
EVERY_FILE = sorted([REPOSITORY / "app.py", *(file for name in FOLDERS for file in (REPOSITORY / name).rglob("*.py"))])


def name_of(file: Path) -> str:
    return file.relative_to(REPOSITORY).as_posix()


def inside(folder: str) -> list[Path]:
    return sorted((REPOSITORY / folder).rglob("*.py"))


@cache
def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


def imports_of(file: Path) -> set[str]:
    """Return everything a file imports, also inside functions and for types only: `a.b` and, for a name, `a.b.c`."""
    found: set[str] = set()
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(file)} imports relatively"
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def imported(files: list[Path], *packages: str) -> set[tuple[str, str]]:
    """Return (file, import) of whatever the files import from the packages."""
    return {
        (name_of(file), name)
        for file in files
        for name in imports_of(file)
        if any(name == package or name.startswith(f"{package}.") for package in packages)
    }


def calls_in(file: Path) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree_of(file)) if isinstance(node, ast.Call))


def test_the_files_are_found() -> None:
    assert {"app.py", "era/index/dense.py", "storage/engine.py", "annotation/ui/app.py"} <= {
        name_of(f) for f in PRODUCT
    }
    assert ("annotation/ui/app.py", "gradio") in imported(PRODUCT, "gradio")


def test_era_knows_neither_the_app_nor_a_database() -> None:
    packages = ("annotation", "storage", "app", "gradio", "sqlalchemy", "alembic", "tests", "benchmarks")
    assert imported(inside("era"), *packages) == set()


def test_storage_knows_neither_the_method_nor_the_app() -> None:
    packages = ("era", "annotation", "app", "gradio", "torch", "numpy", "faiss", "sentence_transformers", "tests")
    assert imported(inside("storage"), *packages) == set()


def test_gradio_stays_in_the_screens() -> None:
    outside = [file for file in PRODUCT if not name_of(file).startswith("annotation/ui/") and file.name != "app.py"]
    assert imported(outside, "gradio", "gradio_client", "starlette", "fastapi") == set()


def test_sqlalchemy_stays_in_storage_but_for_the_type_of_a_session() -> None:
    outside = [file for file in PRODUCT if not name_of(file).startswith("storage/")]
    holders = {
        "annotation/workspace.py",
        "annotation/collections/page.py",
        *(f"annotation/judging/{name}.py" for name in ("marks", "pool", "queries", "setup")),
        "annotation/labels/current.py",
        *(f"annotation/jobs/{name}.py" for name in ("progress", "worker")),
        *(f"annotation/collections/{name}.py" for name in ("import_source", "imports")),
        *(f"annotation/training/{name}.py" for name in ("start", "jobs")),
    }
    assert imported(outside, "sqlalchemy", "alembic") == {(file, "sqlalchemy.orm.Session") for file in holders}


ROOMS = (
    ("errors", "settings", "demo"),
    ("people", "jobs"),
    ("retrieval", "labels"),
    ("workspace",),
    ("ranking",),
    ("collections",),
    ("judging",),
    ("training",),
    ("comparing",),
    ("transfer",),
    ("ui",),
)
"""The rooms of `annotation`, from the lowest floor up: each imports itself and lower floors alone."""


def room_of(module: str) -> str:
    return module.split(".")[1]


def test_every_room_of_annotation_has_its_floor() -> None:
    rooms = {file.relative_to(REPOSITORY / "annotation").parts[0].removesuffix(".py") for file in inside("annotation")}
    assert rooms - {"__init__"} == {room for floor in ROOMS for room in floor}


def test_rooms_import_lower_floors_alone() -> None:
    floors = {room: number for number, floor in enumerate(ROOMS) for room in floor}
    upwards = {
        (name, target)
        for name, target in imported(inside("annotation"), *(f"annotation.{room}" for room in floors))
        if room_of(name.replace("/", ".")).removesuffix(".py") != room_of(target)
        and floors[room_of(name.replace("/", "."))] <= floors[room_of(target)]
    }
    assert upwards == set()


def test_one_file_alone_puts_names_of_rankings_together_and_takes_them_apart() -> None:
    scripts = sorted(file for kind in ("js", "html", "css") for file in (REPOSITORY / "annotation").rglob(f"*.{kind}"))
    assert "annotation/ui/assets/judge_reread.js" in map(name_of, scripts)
    spelled = re.compile(r"\+(words|reread)(?![\w{])")
    knowing = {name_of(file) for file in [*PRODUCT, *scripts] if spelled.search(file.read_text(encoding="utf-8"))}
    assert knowing == {"era/ranking_name.py"}


def screens() -> list[Path]:
    return [file for file in inside("annotation/ui") if "/payloads/" not in name_of(file)]


def test_the_screens_take_nothing_from_storage_and_the_method_but_their_errors() -> None:
    assert imported(screens(), "storage", "era") == {
        ("annotation/ui/server/damage_page.py", "storage.errors.DatabaseDamaged"),
        ("annotation/ui/feedback.py", "storage.errors.StorageError"),
        ("annotation/ui/feedback.py", "era.errors.EraError"),
    }


def test_payloads_take_only_records_from_storage_and_know_no_screen() -> None:
    files = inside("annotation/ui/payloads")
    assert {name.rpartition(".")[0] for _, name in imported(files, "storage")} == {"storage.records"}
    assert imported(files, "gradio") == set()
    assert {target.split(".")[2] for _, target in imported(files, "annotation.ui")} == {"payloads"}


def test_what_only_computes_takes_values_and_no_session() -> None:
    names = ("judging/duplicates",)
    files = [REPOSITORY / "annotation" / f"{name}.py" for name in names]
    assert all(file.is_file() for file in files)
    assert {name.rpartition(".")[0] for _, name in imported(files, "storage")} == {"storage.records"}
    assert imported(files, "annotation.workspace", "annotation.retrieval.open_collection", "sqlalchemy") == set()


def test_what_ranks_knows_no_database() -> None:
    assert imported(inside("annotation/retrieval"), "storage.engine", "sqlalchemy", "annotation.workspace") == set()


def test_rows_of_the_database_stay_in_storage() -> None:
    outside = [file for file in PRODUCT if not name_of(file).startswith("storage/")]
    assert imported(outside, "storage.schema", "storage.migrations", "storage.engine.find_or_insert") == set()


def test_nobody_imports_the_composition_root() -> None:
    assert imported(EVERY_FILE, "app") == set()


def test_only_settings_read_the_environment() -> None:
    readers = {
        name_of(file)
        for file in PRODUCT
        for node in ast.walk(tree_of(file))
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "environb")
    }
    assert readers <= {"annotation/settings.py", "era/threads.py"}


def modules_of(*folders: str) -> list[str]:
    """Return the importable modules; what Alembic runs by itself is left out."""
    files = [file for folder in folders for file in inside(folder)]
    names = [name_of(file).removesuffix(".py").removesuffix("/__init__").replace("/", ".") for file in files]
    return [name for name in names if name != "storage.migrations.env" and "versions" not in name]


def import_in_fresh_process(modules: list[str], home: Path, then: str) -> str:
    """Return what `then` writes after the modules were imported in an empty home and working folder."""
    home.mkdir(parents=True)
    keep = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "OMP_NUM_THREADS")
    environment = {
        **{name: os.environ[name] for name in keep if name in os.environ},
        **{name: str(home) for name in ("HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "TMPDIR", "TEMP", "TMP")},
        "ERA_DATA_DIR": str(home / "data"),
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    lines = ["import importlib, sys", *(f"importlib.import_module({module!r})" for module in modules), then]
    finished = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        cwd=home,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


WRITE_LOADED = "sys.stdout.write(' '.join(name for name in sys.modules if '.' not in name))"


def test_importing_era_loads_neither_gradio_nor_sqlalchemy(tmp_path: Path) -> None:
    loaded = import_in_fresh_process(modules_of("era"), tmp_path / "home", WRITE_LOADED).split()
    assert "era" in loaded
    assert not {"gradio", "sqlalchemy", "alembic", "annotation", "storage"} & set(loaded)


def test_importing_storage_loads_neither_torch_nor_gradio(tmp_path: Path) -> None:
    loaded = import_in_fresh_process(modules_of("storage"), tmp_path / "home", WRITE_LOADED).split()
    assert "sqlalchemy" in loaded
    assert not {"torch", "gradio", "era", "annotation"} & set(loaded)


def test_importing_the_workflows_loads_nothing_that_takes_seconds(tmp_path: Path) -> None:
    screens = tuple(name_of(file).removesuffix(".py").replace("/", ".") for file in inside("annotation/ui"))
    of_screens = tuple(name for name in screens if ".payloads" not in name)
    workflows = [name for name in modules_of("annotation") if not f"{name}.".startswith("annotation.ui.server.")]
    workflows = [name for name in workflows if name not in of_screens]
    assert {"annotation.training", "annotation.comparing", "annotation.ui.payloads.judging"} <= set(workflows)
    loaded = import_in_fresh_process(workflows, tmp_path / "home", WRITE_LOADED).split()
    assert not {"torch", "sentence_transformers", "transformers", "gradio"} & set(loaded)


def test_importing_everything_starts_and_writes_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    modules = [*modules_of("annotation", "storage"), *modules_of("era"), "app"]
    count_threads = "import threading; sys.stdout.write(' '.join(thread.name for thread in threading.enumerate()))"
    threads = import_in_fresh_process(modules, home, count_threads).split()
    assert "training" not in threads
    assert "preparation" not in threads
    assert [file for file in home.rglob("*") if file.is_file()] == []
    assert not (home / "data").exists()


def test_only_the_command_line_prints() -> None:
    printing = {
        name_of(file)
        for file in PRODUCT
        for call in calls_in(file)
        if isinstance(call.func, ast.Name) and call.func.id == "print"
    }
    assert printing <= {"app.py", "storage/rescue.py"}


def test_no_error_is_swallowed_unnamed() -> None:
    bare = {
        f"{name_of(file)}:{node.lineno}"
        for file in EVERY_FILE
        for node in ast.walk(tree_of(file))
        if isinstance(node, ast.ExceptHandler) and node.type is None
    }
    assert bare == set()


def test_nothing_unpickles() -> None:
    assert imported(EVERY_FILE, "pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal") == set()
    loading = {
        f"{name_of(file)}:{call.lineno}"
        for file in EVERY_FILE
        for call in calls_in(file)
        if ast.unparse(call.func) in ("torch.load", "np.load", "numpy.load", "pd.read_pickle", "pandas.read_pickle")
    }
    assert loading == set()


def test_no_model_may_bring_its_own_code() -> None:
    trusting = {
        f"{name_of(file)}:{call.lineno}"
        for file in EVERY_FILE
        for call in calls_in(file)
        for keyword in call.keywords
        if keyword.arg == "trust_remote_code"
        and not (isinstance(keyword.value, ast.Constant) and not keyword.value.value)
    }
    assert trusting == set()


def test_nothing_happens_when_a_module_is_read() -> None:
    """Hold that no module opens, makes or starts something at its top level."""
    acting = ("open", "mkdir", "connect", "create_engine", "Blocks", "Thread", "start", "launch", "load_bundled_pair")
    found = {
        f"{name_of(file)}:{node.lineno}"
        for file in PRODUCT
        for statement in tree_of(file).body
        if isinstance(statement, ast.Expr | ast.Assign | ast.AnnAssign)
        for node in ast.walk(statement)
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in acting
    }
    assert found == set()


def test_the_space_runs_the_gradio_that_is_pinned() -> None:
    requirements, readme = REPOSITORY / "requirements.txt", REPOSITORY / "README.md"
    if not requirements.is_file() or not readme.is_file():
        pytest.skip("README.md or requirements.txt is not there yet")
    pinned = re.search(r"^gradio(?:\[[^]]*\])?==([\w.]+)", requirements.read_text(encoding="utf-8"), re.MULTILINE)
    front_matter = readme.read_text(encoding="utf-8").partition("---")[2].partition("---")[0]
    named = re.search(r"^sdk_version:\s*[\"']?([\w.]+)", front_matter, re.MULTILINE)
    assert pinned is not None, "requirements.txt does not pin gradio with =="
    assert named is not None, "README.md names no sdk_version in its front matter"
    assert pinned.group(1) == named.group(1)
