"""A visit to the page: what is done there, and what it asked for meanwhile."""

from __future__ import annotations

import base64
import io
import time
from typing import Any, Self

import numpy as np
from PIL import Image

__all__ = ["POLICY", "Visit", "noise"]

# The policy that the page is made for
POLICY = "default-src 'self'; img-src 'self' data: blob:"

# Let files be dropped on an element or pasted into it, as a person does: [{name, type, base64}]
_GIVE = """
([how, files]) => {
  const data = new DataTransfer();
  for (const { name, type, base64 } of files) {
    const bytes = Uint8Array.from(atob(base64), (sign) => sign.charCodeAt(0));
    data.items.add(new File([bytes], name, { type }));
  }
  const place = document.querySelector(".drop");
  const common = { bubbles: true, cancelable: true };
  if (how === "paste") place.dispatchEvent(new ClipboardEvent("paste", { ...common, clipboardData: data }));
  else for (const name of ["dragover", "drop"]) {
    place.dispatchEvent(new DragEvent(name, { ...common, dataTransfer: data }));
  }
}
"""


class Visit:
    """A page of a browser context of its own.

    Args:
        policy: what the page must work under; by default that of the served page. A page may have its own.

    Attributes:
        requests: addresses that the page asked for.
        errors: what the console and the page reported.
        forgiven: parts of messages that a test expects among the errors.
    """

    def __init__(self, browser: Any, url: str, *, policy: str = POLICY, **settings: Any) -> None:
        self.url = url
        self._policy = policy
        self._context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **settings})
        self.page = self._context.new_page()
        self.page.set_default_timeout(20_000)
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.forgiven: set[str] = set()
        self._context.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._heard)
        self.page.route(f"{url}/", self._under_the_policy)
        self.page.route(f"{url}/?**", self._under_the_policy)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._context.close()

    def open(self, model: str = "") -> Any:
        """Open the page at a model, and return it."""
        self.page.goto(f"{self.url}/#{model}")
        self.page.locator("main h1").wait_for()
        return self.page

    def allow(self, *permissions: str) -> None:
        """Give the page permissions, such as "clipboard-read"."""
        self._context.grant_permissions([*permissions])

    def give(self, *files: tuple[str, bytes], how: str = "drop", kind: str = "image/png") -> None:
        """Drop files on the page, or paste them."""
        given = [{"name": n, "type": kind, "base64": base64.b64encode(c).decode()} for n, c in files]
        self.page.evaluate(_GIVE, [how, given])

    def until(self, condition: str) -> None:
        """Wait until a JavaScript expression holds; Playwright's own way is against the policy."""
        until = time.monotonic() + 20
        while not self.page.evaluate(condition):
            assert time.monotonic() < until, f"in vain: {condition}"
            self.page.wait_for_timeout(10)

    def canvas(self) -> np.ndarray:
        """Return the pixels (H, W, 3) of the heat map that is shown."""
        url = self.page.locator(".heat canvas").evaluate("(canvas) => canvas.toDataURL()")
        image = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
        return np.asarray(image.convert("RGB")).astype(int)

    def check(self) -> None:
        """Assert that nothing failed, and that no other host was asked for anything."""
        errors = [text for text in self.errors if not any(part in text for part in self.forgiven)]
        assert not errors, errors
        inside = f"{self.url}/", f"blob:{self.url}/", "data:"
        outside = [url for url in self.requests if not url.startswith(inside)]
        assert not outside, outside

    def _heard(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def _under_the_policy(self, route: Any) -> None:
        answer = route.fetch()
        headers = ({"content-security-policy": self._policy} if self._policy else {}) | answer.headers
        route.fulfill(response=answer, headers=headers)


def noise(seed: int = 0, *, side: int = 40) -> bytes:
    """Return a PNG of smooth noise."""
    small = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC).save(buffer, "PNG")
    return buffer.getvalue()
