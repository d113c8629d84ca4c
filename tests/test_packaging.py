import tomllib
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
SETUPTOOLS = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]
FOLDERS = {package: REPOSITORY / folder for package, folder in SETUPTOOLS["package-dir"].items()}


def test_every_package_of_the_rooms_is_installed():
    # An editable install has those that are not listed, too.
    rooms = [folder for package, folder in FOLDERS.items() if package.count(".") == 1]
    packages = {file.parent for room in rooms for file in room.rglob("__init__.py")}
    assert set(FOLDERS.values()) == packages
    assert list(FOLDERS) == SETUPTOOLS["packages"]
    for package, folder in FOLDERS.items():
        assert package == f"enrapt.{folder.relative_to(REPOSITORY).as_posix().replace('/', '.')}"


def test_every_data_file_of_the_rooms_is_installed():
    installed = {
        file
        for package, patterns in SETUPTOOLS["package-data"].items()
        for pattern in patterns
        for file in FOLDERS[package].glob(pattern)
    }
    present = {file for folder in FOLDERS.values() for file in folder.rglob("*") if file.is_file()}
    assert {file for file in present if file.suffix not in (".py", ".pyc")} == installed
