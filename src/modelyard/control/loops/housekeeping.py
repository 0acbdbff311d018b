"""What has to be forgotten: uploads of yesterday, old idempotency keys, blobs that nothing refers to; and
what is put together once it is old: usage."""

import logging
from typing import Final

from modelyard.control.platform import Platform
from modelyard.control.services import (
    api_files,
    environments,
    idempotency,
    run_folders,
    upload_parts,
    uploads,
    usage,
)
from modelyard.store.garbage import collect_garbage

_log = logging.getLogger(__name__)
_EVERY: Final = 600.0
_GRACE: Final = 3600.0  # longer than a write is on its way


class Housekeeping:
    """`step` is called by one thread alone."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def step(self) -> float:
        uploads.expire(self._platform)
        upload_parts.expire(self._platform)
        api_files.expire(self._platform)
        idempotency.forget_old(self._platform)
        run_folders.clear_ended(self._platform)
        environments.collect(self._platform)
        usage.fold_old(self._platform)
        platform = self._platform
        collected = collect_garbage(platform.database, platform.blobs, platform.home, grace=_GRACE)
        _log.info("collected %s", collected)
        return _EVERY
