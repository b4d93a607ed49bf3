"""A real browser for tests of pages: what a page asks for, complains of and looks like."""

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright

Scheme = Literal["light", "dark"]

CHROMIUM = shutil.which("chromium")
PATIENCE = 180_000  # milliseconds: for a busy machine


@dataclass
class Watch:
    """What a page asked for and complained of."""

    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def on(self, page: Page) -> None:
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog {dialog.message}"))
        page.on("console", self._console)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    def outside(self) -> list[str]:
        return [url for url in self.requests if not url.startswith(("file:", "data:", "blob:"))]


def start(playwright: Playwright) -> Browser:
    # Chromium's sandbox refuses to start for root, as whom containers run.
    sandbox = hasattr(os, "geteuid") and os.geteuid() != 0
    return playwright.chromium.launch(executable_path=CHROMIUM, chromium_sandbox=sandbox)


def shoot(page: Page, name: str, *, whole: bool = False) -> None:
    """Keep a screenshot for looking at, where the environment names a folder for it."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=Path(folder, f"{name}.png"), full_page=whole)
