from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """Recordings of real people, which are not ours to ship."""
    folder = Path(__file__).parents[2] / "shared"
    if not (folder / "clips").is_dir():
        pytest.skip("no ../shared/clips beside the repository")
    return folder
