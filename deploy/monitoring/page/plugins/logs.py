"""A route of Datasette: /-/log/N is the text of the log that snkmt recorded as file N."""

from pathlib import Path
from typing import Any

from datasette import Response, hookimpl
from datasette.app import Datasette
from datasette.utils.asgi import Request

# The page shows only the end of a longer log.
MOST_BYTES = 1_000_000


async def show_log(datasette: Datasette, request: Request) -> Response:
    """Give the end of a job's log as plain text; only files recorded as logs are ever opened."""
    rows = await datasette.get_database("snkmt").execute(
        "select path from files where id = ? and file_type = 'LOG'", [request.url_vars["file"]]
    )
    recorded = rows.first()
    if recorded is None:
        return Response.text("No such log.\n", status=404)
    try:
        with Path(recorded["path"]).open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - MOST_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError as error:
        return Response.text(f"{recorded['path']}: {error.strerror}\n", status=404)
    return Response.text(text)


@hookimpl
def register_routes() -> list[tuple[str, Any]]:
    """Add the route."""
    return [(r"^/-/log/(?P<file>\d+)$", show_log)]
