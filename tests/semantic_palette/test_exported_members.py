"""The public face of the package."""

import subprocess
import sys

import semantic_palette


def test_all_is_sorted_and_everything_in_it_exists() -> None:
    # Constants first, then classes: the order that the formatter keeps.
    assert semantic_palette.__all__ == sorted(semantic_palette.__all__, key=lambda name: (not name.isupper(), name))
    for name in semantic_palette.__all__:
        assert getattr(semantic_palette, name) is not None


def test_all_equals_what_is_exported() -> None:
    submodules = {name for name in vars(semantic_palette) if f"semantic_palette.{name}" in sys.modules}
    defined = {name for name in vars(semantic_palette) if not name.startswith("_")} - submodules - {"TYPE_CHECKING"}
    assert defined == set(semantic_palette.__all__) - {"AsyncClient", "Client"}


def test_unknown_member_is_an_attribute_error() -> None:
    assert not hasattr(semantic_palette, "no_such_thing")


def test_importing_the_package_loads_no_optional_or_heavy_library() -> None:
    code = "import sys, semantic_palette; print([m for m in ('grpc', 'typer', 'rich', 'torch') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_algorithm_modules_load_nothing_but_numpy_and_the_standard_library() -> None:
    modules = ["label_space", "palette", "constraints", "palette_model", "budget", "editing", "noise", "manifest"]
    code = (
        "import sys, importlib, types\n"
        "package = types.ModuleType('semantic_palette')\n"
        f"package.__path__ = {list(semantic_palette.__path__)!r}\n"
        "sys.modules['semantic_palette'] = package\n"
        f"for name in {modules!r}: importlib.import_module('semantic_palette.' + name)\n"
        "print(sorted(m for m in ('grpc', 'typer', 'PIL', 'google.protobuf', 'scipy') if m in sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
