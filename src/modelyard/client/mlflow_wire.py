"""MLflow's REST from the outside: the server that is copied from, and our own that is copied to."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from modelyard.errors import InvalidInput, ModelyardError, NotFound, Unavailable

if TYPE_CHECKING:
    import httpx

_BASE: Final = "/api/2.0/mlflow"
_PROXIED: Final = "mlflow-artifacts:"
_TRIES: Final = 3
_PART: Final = 1 << 20
_STORED_SECONDS: Final = 3600.0


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """`path` in its owner's folder; `size` in bytes where the server says it."""

    path: str
    size: int | None


class Wire:
    """One MLflow server. Raises Unavailable where it does not answer, else what it says."""

    def __init__(self, url: str, token: str | None) -> None:
        import httpx

        self.url = str(httpx.URL(url).copy_with(userinfo=b"")).rstrip("/")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        local = httpx.URL(url).host in ("localhost", "::1") or httpx.URL(url).host.startswith("127.")
        self._http = httpx.Client(
            base_url=url.rstrip("/"), headers=headers, timeout=120.0, trust_env=not local
        )

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, /, **query: Any) -> dict[str, Any]:
        return self._ask("GET", path, params={k: v for k, v in query.items() if v is not None})

    def post(self, path: str, body: dict[str, Any], method: str = "POST") -> dict[str, Any]:
        return self._ask(method, path, json={k: v for k, v in body.items() if v is not None})

    def pages(
        self, path: str, name: str, body: dict[str, Any], method: str = "POST"
    ) -> Iterator[dict[str, Any]]:
        """The items of a list over all its pages."""
        token: str | None = None
        while True:
            asked = body | ({"page_token": token} if token else {})
            page = self.post(path, asked) if method == "POST" else self.get(path, **asked)
            yield from page.get(name, ())
            token = page.get("next_page_token")
            if not token:
                return

    def files_of_run(self, run: str, folder: str = "") -> Iterator[RemoteFile]:
        """Every file of a run."""
        query = {"run_id": run, **({"path": folder} if folder else {})}
        for found in self.pages("/artifacts/list", "files", query, "GET"):
            if found.get("is_dir"):
                yield from self.files_of_run(run, found["path"])
            else:
                yield RemoteFile(path=found["path"], size=_size(found))

    def files_of_model(self, model: str, folder: str = "") -> Iterator[RemoteFile]:
        """Every file of a logged model."""
        query = {"artifact_directory_path": folder} if folder else {}
        path = f"/logged-models/{quote(model, safe='')}/artifacts/directories"
        for found in self.pages(path, "files", query, "GET"):
            if found.get("is_dir"):
                yield from self.files_of_model(model, found["path"])
            else:
                yield RemoteFile(path=found["path"], size=_size(found))

    def download(self, uri: str, owner: str, path: str) -> "_Download":
        """A file of a run or a logged model, whose folder is `uri`, as it comes."""
        if uri.startswith(_PROXIED):
            place = uri[len(_PROXIED) :].lstrip("/")
            return _Download(
                self._http, f"/api/2.0/mlflow-artifacts/artifacts/{quote(place)}/{quote(path)}", {}
            )
        if owner.startswith("m-"):
            where = f"/ajax-api/2.0/mlflow/logged-models/{owner}/artifacts/files"
            return _Download(self._http, where, {"artifact_file_path": path})
        return _Download(self._http, "/get-artifact", {"run_uuid": owner, "path": path})

    def upload(self, uri: str, file: RemoteFile, content: "_Download") -> int:
        """Send a file on, never held whole. How many bytes it had."""
        place = uri[len(_PROXIED) :].lstrip("/")
        path = f"/api/2.0/mlflow-artifacts/artifacts/{quote(place)}/{quote(file.path)}"
        with content:
            headers = {"Content-Type": "application/octet-stream"} | content.length()
            _check(self._http.put(path, content=content.parts(), headers=headers, timeout=_STORED_SECONDS))
        return content.bytes

    def _ask(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        import httpx

        for attempt in range(_TRIES):
            try:
                response = self._http.request(method, _BASE + path, **options)
                break
            except httpx.TransportError as error:
                if attempt == _TRIES - 1:
                    raise Unavailable(f"{self.url} does not answer ({type(error).__name__})") from error
        _check(response)
        try:
            said = response.json()
        except ValueError as error:
            raise InvalidInput(f"{self.url} does not answer as an MLflow server does") from error
        return said if isinstance(said, dict) else {}


class _Download:
    """A file on its way."""

    def __init__(self, http: "httpx.Client", path: str, query: dict[str, str]) -> None:
        self._stream = http.stream("GET", path, params=query)
        self.bytes = 0

    def __enter__(self) -> "_Download":
        self._response = self._stream.__enter__()
        if self._response.status_code >= 400:
            self._response.read()
            _check(self._response)
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.__exit__(None, None, None)

    def length(self) -> dict[str, str]:
        """As a header, where the server said it and the bytes come as they are."""
        said = self._response.headers.get("content-length")
        plain = "content-encoding" not in self._response.headers
        return {"Content-Length": said} if said and plain else {}

    def parts(self) -> Iterator[bytes]:
        for part in self._response.iter_bytes(_PART):
            self.bytes += len(part)
            yield part


def _size(found: dict[str, Any]) -> int | None:
    size = found.get("file_size")
    return int(size) if size is not None else 0


def _check(response: "httpx.Response") -> None:
    """Raises what an answer says."""
    if response.status_code < 400:
        return
    try:
        said = response.json()
        code, text = str(said.get("error_code", "")), str(said.get("message", ""))
    except (ValueError, AttributeError):
        code, text = "", f"status {response.status_code}"
    kind = NotFound if code == "RESOURCE_DOES_NOT_EXIST" or response.status_code == 404 else ModelyardError
    raise kind(f"{response.request.url.host} said: {text[:300]}")
