import pytest

from live_models import image_package
from modelyard.dialects import Served
from modelyard.engines import open_model
from small_package import write_package


def served(model):
    manifest = model.manifest
    return Served(
        name="m",
        version="3",
        signature=manifest.signature,
        labels=manifest.labels,
        task=model.task,
        prepared=model.prepared,
    )


@pytest.fixture(scope="session")
def image_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("image")
    image_package(folder)
    return open_model(folder)


@pytest.fixture(scope="session")
def table_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    write_package(folder)
    return open_model(folder)


@pytest.fixture(scope="session")
def images(image_model):
    return served(image_model)


@pytest.fixture(scope="session")
def table(table_model):
    return served(table_model)
