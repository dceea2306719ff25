"""The web server of an annotation session: this machine only, and only whoever has its token.

The address that the command prints holds a random token; it is exchanged for a cookie, so that
neither the browser's history nor another page's referrer keeps it. A request needs that cookie,
the server's own name as its host (against names that others point at 127.0.0.1), and where it
changes something, the page itself as its origin.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import logging
import secrets
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.utils import redirect, send_file
from werkzeug.wrappers import Request, Response

from ..errors import InputError, listed, one_line
from ..formats.annotation_file import Changed, Labels
from ..reports.page import page
from ..reports.pictures import class_colours
from .session import STATES, Prepared, Session, boundaries

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

HOST = "127.0.0.1"
TOKEN_BYTES = 24
MAX_BODY = 20_000_000  # bytes of one video's labels
FIRST_WAIT_SEC = 1.5  # a page waits so long for its video before it says that it is being made
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
ROUTES = Map(
    [
        Rule("/", endpoint="overview", methods=["GET"]),
        Rule("/video/<int:number>", endpoint="editor", methods=["GET"]),
        Rule("/media/<int:number>", endpoint="media", methods=["GET"]),
        Rule("/labels/<int:number>", endpoint="labels", methods=["GET"]),
        Rule("/labels/<int:number>", endpoint="save", methods=["PUT"]),
        Rule("/ready/<int:number>", endpoint="ready", methods=["GET"]),
    ]
)


class Application:
    """The answers of a session's server, as a WSGI application."""

    def __init__(self, session: Session, port: int, token: str | None = None) -> None:
        """Answer for `session` at this port; a token is drawn where none is given."""
        self.session = session
        self.token = token or secrets.token_urlsafe(TOKEN_BYTES)
        self.hosts = {f"{name}:{port}" for name in (HOST, "localhost")}
        self.cookie = f"tsatal-{port}"  # cookies are shared by all ports of a host

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        request = Request(environ)
        response = self._answer(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response(environ, start)

    def _answer(self, request: Request) -> Response:
        if refused := self._refused(request):
            return refused
        try:
            endpoint, values = ROUTES.bind_to_environ(request.environ).match()
            number = values.get("number", 0)
            if number >= len(self.session.ids):
                return _says(404, "there is no such video")
            answer: Response = getattr(self, f"_{endpoint}")(request, **values)
            return answer
        except HTTPException as error:
            return _says(error.code or 500, error.description or "not understood")
        except (InputError, OSError) as error:
            return _says(500, one_line(error))

    def _refused(self, request: Request) -> Response | None:
        """Return the answer to whoever may not ask; None for the page itself."""
        if request.environ.get("HTTP_HOST") not in self.hosts:
            return _says(403, "this server answers to its own address only")
        if request.path == "/" and request.method == "GET" and "token" in request.args:
            if not self._is_token(request.args["token"]):
                return _says(403, NO_TOKEN)
            entered = redirect("/", 303, Response)
            entered.set_cookie(self.cookie, self.token, httponly=True, samesite="Strict", path="/")
            return entered
        if not self._is_token(request.cookies.get(self.cookie, "")):
            return _says(403, NO_TOKEN)
        own = {f"http://{host}" for host in self.hosts}
        if request.method not in ("GET", "HEAD") and request.headers.get("Origin") not in own:
            return _says(403, "another page asked for this change")
        return None

    def _is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode("utf-8", "replace"), self.token.encode())

    def _overview(self, request: Request) -> Response:
        data = {
            "videos": self.session.overview(),
            "file": str(self.session.file.path),
            "states": STATES,
            "sorted_by": SORTED_BY[self.session.order],
        }
        return _page("Videos to annotate", "overview", data)

    def _editor(self, request: Request, number: int) -> Response:
        session, ids = self.session, self.session.ids
        ready = session.ready(number, wait_sec=FIRST_WAIT_SEC)
        labels, revision = session.labels(number)
        data: dict[str, Any] = {
            "number": number,
            "videos": len(ids),
            "video_id": ids[number],
            "file": str(session.file.path),
            "labels": labels.model_dump(mode="json"),
            "revision": revision,
            "all_labels": session.all_labels(),
            "subsets": session.file.subsets(),
            "suggestions": [asdict(d) for d in session.suggestions(number)],
            "reason": session.reason(number),
            "ready": isinstance(ready, Prepared),
            "problem": ready if isinstance(ready, str) else "",
        }
        media = {"words": ready if isinstance(ready, str) else "", "type": "", "src": ""}
        times: list[float] = [0.0, 1.0]
        if isinstance(ready, Prepared):
            times = boundaries(ready.times).tolist()
            media = {"words": ready.words, "type": ready.type, "src": f"/media/{number}"}
        data |= {"times": times, "duration_sec": times[-1], "extent_sec": times[-1] or 1.0}
        data |= {"media": media | {"base64": ""}, "palette": PALETTE}
        title = f"{ids[number]}: annotate"
        return _page(title, "annotate_page", data, styles=("viewer",), scripts=SCRIPTS)

    def _media(self, request: Request, number: int) -> Response:
        """The video's file, or the part of it that the browser asks for."""
        ready = self.session.ready(number)
        if not isinstance(ready, Prepared) or ready.path is None:
            return _says(404, "this video is not ready")
        sent = send_file(
            ready.path, request.environ, mimetype=ready.type, conditional=True, etag=False
        )
        sent.headers["Cache-Control"] = "no-store"
        return sent

    def _labels(self, request: Request, number: int) -> Response:
        labels, revision = self.session.labels(number)
        return _json({"labels": labels.model_dump(mode="json"), "revision": revision})

    def _save(self, request: Request, number: int) -> Response:
        request.max_content_length = MAX_BODY
        try:
            sent = json.loads(request.get_data(as_text=True))
            labels, revision = Labels.model_validate(sent["labels"]), str(sent["revision"])
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            return _says(422, f"these labels cannot be saved: {place}: {first['msg']}")
        except (ValueError, KeyError, TypeError):
            return _says(400, "these are no labels")
        try:
            return _json({"revision": self.session.save(number, labels, revision)})
        except Changed as error:
            there = {"labels": error.labels.model_dump(mode="json"), "revision": error.revision}
            return _json({"says": one_line(error), **there}, 409)

    def _ready(self, request: Request, number: int) -> Response:
        return _json({"ready": self.session.ready(number) is not None})


NO_TOKEN = (
    "this address belongs to somebody's own session: open the one that `tsatal annotate` printed, "
    "with its token"
)
SCRIPTS = ("viewer_stage", "viewer_clock", "annotate_state", "annotate_line", "annotate")
SORTED_BY = {"name": "name", "useful": "what the head is least sure of"}
PALETTE = tuple(class_colours([str(k) for k in range(21)]).values())  # after 21 they repeat


def _page(title: str, name: str, data: Any, **more: Sequence[str]) -> Response:
    html = page(title=title, name=name, data=data, room=__package__ or "", connects=True, **more)
    return Response(html, mimetype="text/html")


def _json(values: Any, status: int = 200) -> Response:
    return Response(json.dumps(values, allow_nan=False), status, mimetype="application/json")


def _says(status: int, words: str) -> Response:
    return Response(words, status, mimetype="text/plain")


class _Quiet(WSGIRequestHandler):
    """Requests are not logged: they are the user's own."""

    timeout = 60  # of a connection that says nothing

    def log(self, type: str, message: str, *args: Any) -> None:
        """Keep errors for the debugging log."""
        logging.getLogger(__name__).debug(message, *args)


def open_server(session: Session, port: int = 0) -> tuple[BaseWSGIServer, str]:
    """Return a server that listens on this machine, and the address to open.

    Args:
        port: 0 takes any that is free.
    Raises:
        InputError: somebody else listens there.
    """
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen(64)
    except OSError as error:
        listening.close()
        said = listed([error.strerror or error])
        raise InputError(
            f"--port {port}: cannot be had ({said}); leave it out, or name another"
        ) from None
    port = listening.getsockname()[1]
    application = Application(session, port)
    server = make_server(
        HOST, port, application, threaded=True, request_handler=_Quiet, fd=listening.fileno()
    )
    listening.close()  # the server has its own handle
    return server, f"http://{HOST}:{port}/?token={application.token}"


def serve(session: Session, port: int, on_open: Callable[[str], None]) -> str:
    """Answer requests until a signal ends it, and return what is saved; see `open_server`.

    Ctrl-C, SIGTERM and a closed terminal are the ordinary ends: an edit that is being saved is
    saved first.

    Args:
        on_open: called with the address once it can be opened.
    """
    server, address = open_server(session, port)
    answering = threading.Thread(target=server.serve_forever, daemon=True)
    answering.start()
    with _hang_up_ends(), contextlib.suppress(KeyboardInterrupt):
        on_open(address)
        while answering.is_alive():  # a wait with a limit lets signals in on every system
            answering.join(1.0)
    server.shutdown()
    return session.saved()


@contextlib.contextmanager
def _hang_up_ends() -> Iterator[None]:
    """Let a closed terminal end what runs as Ctrl-C does, unless `nohup` asked to go on."""
    number = getattr(signal, "SIGHUP", None)
    in_main = threading.current_thread() is threading.main_thread()
    if number is None or not in_main or signal.getsignal(number) is signal.SIG_IGN:
        yield
        return
    before = signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(number, before)
