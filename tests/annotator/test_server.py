"""Who may ask the server, and what it answers: tokens, hosts, origins, ranges, conflicts."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import Client, TestResponse

from tsatal.annotator.server import Application, open_server
from tsatal.annotator.session import Prepared, Session
from tsatal.errors import InputError
from tsatal.extract.sources import assign_ids, find_videos
from tsatal.formats.annotation_file import AnnotationFile

from .conftest import Served

PORT, TOKEN = 4321, "a-token-that-nobody-knows"
OWN = f"127.0.0.1:{PORT}"
WriteVideo = Callable[..., Path]


@pytest.fixture
def session(tmp_path: Path, write_video: WriteVideo) -> Session:
    write_video(tmp_path / "a.mp4")
    write_video(tmp_path / "b.mp4")
    paths, _ = assign_ids(find_videos(tmp_path))
    return Session(paths, AnnotationFile(tmp_path / "annotations.json"))


@pytest.fixture
def stranger(session: Session) -> Client:
    return Client(Application(session, PORT, TOKEN))


@pytest.fixture
def client(stranger: Client) -> Client:
    """One that has come in by the address with the token."""
    entered = get(stranger, f"/?token={TOKEN}")
    assert (entered.status_code, entered.headers["Location"]) == (303, "/")
    return stranger


def get(client: Client, path: str, host: str = OWN, **headers: str) -> TestResponse:
    return client.get(path, base_url=f"http://{host}", headers=headers)


def put(client: Client, labels: Any, revision: str, **headers: str) -> TestResponse:
    sent = {"labels": labels, "revision": revision}
    headers = {"Origin": f"http://{OWN}", **headers}
    return client.put("/labels/0", base_url=f"http://{OWN}", json=sent, headers=headers)


def labels_of(client: Client) -> tuple[dict[str, Any], str]:
    there = get(client, "/labels/0").json
    assert there
    return there["labels"], there["revision"]


ALL = ["/", "/video/0", "/media/0", "/labels/0", "/ready/0", "/nothing"]


@pytest.mark.parametrize("path", ALL)
def test_without_the_token_nothing_is_told(stranger: Client, path: str) -> None:
    for tried in (path, f"{path}?token=wrong", f"{path}?token=", f"{path}?token=%C3%A9"):
        answer = get(stranger, tried)
        assert answer.status_code == 403 and "a.mp4" not in answer.text
    stranger.set_cookie(f"tsatal-{PORT}", "wrong", domain="127.0.0.1")
    assert get(stranger, path).status_code == 403


def test_the_cookie_is_for_this_server_s_pages_alone(stranger: Client) -> None:
    cookie = get(stranger, f"/?token={TOKEN}").headers["Set-Cookie"]
    assert cookie.startswith(f"tsatal-{PORT}={TOKEN};")
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie


@pytest.mark.parametrize("path", ALL)
@pytest.mark.parametrize(
    "host", ["evil.example", f"evil.example:{PORT}", "127.0.0.1", "10.0.0.1:4321"]
)
def test_another_name_for_this_machine_is_refused(client: Client, path: str, host: str) -> None:
    """A name that somebody points at 127.0.0.1 would make their page the server's own."""
    client.set_cookie(f"tsatal-{PORT}", TOKEN, domain=host.split(":")[0])
    assert get(client, path, host).status_code == 403
    assert get(client, f"/?token={TOKEN}", host).status_code == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:9999", "null", ""])
def test_another_page_changes_nothing(client: Client, session: Session, origin: str) -> None:
    labels, revision = labels_of(client)
    assert put(client, {**labels, "state": "done"}, revision, Origin=origin).status_code == 403
    assert not session.file.path.exists()


def test_no_page_may_frame_or_fetch_from_elsewhere(client: Client) -> None:
    answer = get(client, "/")
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in answer.text and "connect-src 'self'" in answer.text
    for path in ("/", "/labels/0"):
        assert get(client, path).headers["Cache-Control"] == "no-store"
        assert "Access-Control-Allow-Origin" not in get(client, path).headers


def test_what_is_saved_is_in_the_file(client: Client, session: Session) -> None:
    labels, revision = labels_of(client)
    action = {"label": "jump", "start_sec": 0.5, "end_sec": 1.0}
    answer = put(client, {**labels, "state": "done", "actions": [action]}, revision)
    assert answer.status_code == 200
    assert labels_of(client)[1] == (answer.json or {})["revision"]
    assert session.file.video("a")[0].actions[0].label == "jump"


def test_of_two_windows_the_later_is_told_and_writes_nothing(
    client: Client, session: Session
) -> None:
    labels, revision = labels_of(client)
    assert put(client, {**labels, "state": "done", "note": "first"}, revision).status_code == 200
    before = session.file.path.read_text()
    answer = put(client, {**labels, "state": "done", "note": "second"}, revision)
    assert answer.status_code == 409 and session.file.path.read_text() == before
    there = answer.json or {}
    assert there["labels"]["note"] == "first" and "changed elsewhere" in there["says"]
    assert put(client, {**labels, "note": "second"}, there["revision"]).status_code == 200


@pytest.mark.parametrize(
    ("change", "status", "says"),
    [
        ({"state": "finished"}, 422, "state"),
        ({"actions": [{"label": "", "start_sec": 0, "end_sec": 1}]}, 422, "actions.0.label"),
        ({"actions": [{"label": "x", "start_sec": 2, "end_sec": 1}]}, 422, "before it starts"),
        ({"actions": [{"label": "\ud800", "start_sec": 0, "end_sec": 1}]}, 422, "valid"),
        ({"actions": [{"label": "x", "start_sec": 1e400, "end_sec": 1}]}, 422, "start_sec"),
        ({"more": 1}, 422, "more"),
    ],
)
def test_what_is_no_label_is_refused_in_words(
    client: Client, session: Session, change: dict[str, Any], status: int, says: str
) -> None:
    labels, revision = labels_of(client)
    answer = put(client, {**labels, **change}, revision)
    assert (answer.status_code, says in answer.text) == (status, True), answer.text
    assert not session.file.path.exists()


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"labels": {}}', b"\xff"])
def test_what_is_no_json_of_ours_is_refused(client: Client, body: bytes) -> None:
    answer = client.put(
        "/labels/0", base_url=f"http://{OWN}", data=body, headers={"Origin": f"http://{OWN}"}
    )
    assert answer.status_code == 400


def test_paths_that_are_not_there_say_so(client: Client) -> None:
    for path in ("/video/2", "/video/-1", "/media/99", "/../etc/passwd", "/labels/x"):
        assert get(client, path).status_code == 404
    assert client.delete("/labels/0", base_url=f"http://{OWN}").status_code == 403


def test_parts_of_a_video_are_sent(client: Client, session: Session, tmp_path: Path) -> None:
    assert isinstance(session.ready(0, wait_sec=30), Prepared)
    content = (tmp_path / "a.mp4").read_bytes()
    whole = get(client, "/media/0")
    assert (whole.status_code, whole.data, whole.mimetype) == (200, content, "video/mp4")
    for asked, part in (("10-19", content[10:20]), ("100-", content[100:]), ("-7", content[-7:])):
        answer = get(client, "/media/0", Range=f"bytes={asked}")
        assert (answer.status_code, answer.data) == (206, part)
    assert get(client, "/media/0", Range=f"bytes={len(content)}-").status_code == 416


def test_a_full_disk_is_told_and_nothing_is_lost(
    client: Client, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels, revision = labels_of(client)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tsatal.formats.annotation_file.write_text", full)
    answer = put(client, {**labels, "state": "done"}, revision)
    assert answer.status_code == 500 and "No space left" in answer.text


def test_the_server_listens_on_this_machine_alone(
    serve: Callable[..., Served], session: Session
) -> None:
    served = serve(session.file.path.parent)
    assert served.address.startswith("http://127.0.0.1:")
    host, port = served.root.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    connection.request("GET", "/")
    assert connection.getresponse().status == 403
    connection.close()


def test_a_port_that_is_taken_is_named(session: Session) -> None:
    server, address = open_server(session)
    port = int(address.split(":")[2].split("/")[0])
    with pytest.raises(InputError, match=rf"--port {port}: cannot be had"):
        open_server(session, port)
    server.server_close()


def test_a_video_that_cannot_be_played_is_said_and_the_others_go_on(
    tmp_path: Path, write_video: WriteVideo
) -> None:
    (tmp_path / "a.mp4").write_text("no video")
    write_video(tmp_path / "b.avi", codec="mpeg4")
    paths, _ = assign_ids(find_videos(tmp_path))
    session = Session(paths, AnnotationFile(tmp_path / "annotations.json"))
    said, copy = session.ready(0, wait_sec=30), session.ready(1, wait_sec=30)
    assert isinstance(said, str) and "not a video" in said
    assert isinstance(copy, Prepared) and copy.path and copy.path.parent.name == ".tsatal-copies"
    assert "because browsers do not play mpeg4" in copy.words
    again = Session(paths, AnnotationFile(tmp_path / "annotations.json")).ready(1, wait_sec=30)
    assert isinstance(again, Prepared) and again.path == copy.path


def test_many_windows_that_save_at_once_lose_nothing(
    serve: Callable[..., Served], session: Session
) -> None:
    """Of edits that began from one revision exactly one is taken."""
    taken = []
    _, revision = session.labels(0)
    labels = session.labels(0)[0].model_copy(update={"state": "done"})

    def save(note: str) -> None:
        try:
            session.save(0, labels.model_copy(update={"note": note}), revision)
            taken.append(note)
        except InputError:
            pass

    threads = [threading.Thread(target=save, args=(f"n{k}",)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 1 and session.labels(0)[0].note == taken[0]
