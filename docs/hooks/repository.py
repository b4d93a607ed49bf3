"""Adds the root's pages to the site, and leads links out of docs/ to the repository."""

import os
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT_PAGES = ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
"""Files that GitHub expects at the root."""

_LINK = re.compile(r"\]\((?!\w+:|#)([^)#]+)(#[^)]*)?\)")  # relative links and images


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the root's pages to the site, with links as seen from docs/."""
    root = Path(config.docs_dir).parent
    for name in ROOT_PAGES:
        text = (root / name).read_text(encoding="utf-8")
        content = _LINK.sub(lambda link: link[0].replace("](", "](../"), text)
        files.append(File.generated(config, name.lower(), content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links to root pages to the site, and links to other files outside docs/ to GitHub."""
    docs = Path(config.docs_dir)
    folder = (docs / page.file.src_uri).parent

    def led(link: re.Match[str]) -> str:
        path, anchor = (folder / link[1]).resolve(), link[2] or ""
        if path.parent == docs.parent and path.name in ROOT_PAGES:
            path = docs / path.name.lower()
        if not path.is_relative_to(docs):
            inside = path.relative_to(docs.parent).as_posix()
            return f"]({config.repo_url}/blob/main/{inside}{anchor})"
        return f"]({Path(os.path.relpath(path, folder)).as_posix()}{anchor})"

    return _LINK.sub(led, markdown)
