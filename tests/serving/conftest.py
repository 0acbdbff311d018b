import pytest

from live_models import image_package, workbench_package
from small_package import write_package


@pytest.fixture(scope="session")
def packages_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packages")
    image_package(folder / "image")
    workbench_package(folder / "workbench")
    write_package(folder / "table")
    return folder
