"""An upload by control's services alone."""

from modelyard.control.platform import Platform
from modelyard.control.services import uploads
from modelyard.control.services.uploads import UploadView


def put(platform: Platform, data: bytes, name: str = "data.csv", size: int | None = None) -> UploadView:
    with uploads.begin(platform, "default", name, size) as writer:
        writer.write(data)
        return uploads.finish(platform, "default", name, writer)
