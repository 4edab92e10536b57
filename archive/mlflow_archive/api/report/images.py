"""Images of an archive in a page, as far as there is room for them."""

from __future__ import annotations

import base64
from typing import Final

from mlflow_archive.api.report.markup import text
from mlflow_archive.errors import DamagedError, ElsewhereError
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.blobs import Blobs
from mlflow_archive.reader.inspection.listing import Record

MOST_BYTES: Final = 20_000_000
"""Of all images of a page, as they stand in it."""

_SIGNATURES: Final = ((b"\x89PNG\r\n\x1a\n", "png"), (b"\xff\xd8\xff", "jpeg"), (b"GIF8", "gif"))
_ENDINGS: Final = (".png", ".jpg", ".jpeg", ".gif")


class Images:
    """Puts images into a page until there are 20 MB of them, and knows how many had no room."""

    def __init__(self, archive: Archive) -> None:
        self._blobs = Blobs(archive)
        self._room = MOST_BYTES
        self.left_out = 0

    def of(self, artifacts: list[Record]) -> str:
        """Return the images among some artifacts, each once with its path; those without room by their names."""
        parts, unseen = [], []
        for row in artifacts:
            if not row["path"].lower().endswith(_ENDINGS):
                continue
            needed = (row["size"] + 2) // 3 * 4
            image = self._image(row["digest"], row["size"]) if 0 <= needed <= self._room else None
            if image is not None:
                self._room -= len(image)
                parts.append(f'<figure><img src="{image}" alt=""><figcaption>{text(row["path"])}</figcaption></figure>')
            else:
                unseen.append(row["path"])
        self.left_out += len(unseen)
        names = f"<p>Images that are not shown: {text(', '.join(unseen))}</p>" if unseen else ""
        return "".join(parts) + names

    def _image(self, digest: str, size: int) -> str | None:
        """Return an image as the address of itself, None for a file that is none, or is damaged, or of another size."""
        try:
            data = self._blobs.open(digest).read(size + 1)
        except (DamagedError, ElsewhereError):
            return None  # the report says above what damage hits, or that it is of a delta
        if len(data) != size:
            return None
        for signature, name in _SIGNATURES:
            if data.startswith(signature):
                return f"data:image/{name};base64,{base64.b64encode(data).decode()}"
        return None
