from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tsatal.errors import InputError
from tsatal.extract.sharing import claims as module
from tsatal.extract.sharing.claims import Claims, started
from tsatal.formats.atomic import this_host

TAKE_AND_DIE = """
import os, sys
from pathlib import Path
from typing import Any
from tsatal.extract.sharing.claims import Claims
claims = Claims(Path(sys.argv[1]))
for name in sys.argv[2:]:
    assert claims.take(name, what="work")
os._exit(9)
"""


def die_with(folder: Path, *names: str) -> None:
    """Let a process claim names and die with them."""
    subprocess.run([sys.executable, "-c", TAKE_AND_DIE, str(folder), *names], check=False)
    assert all((folder / f"{name}.claim").exists() for name in names)


def write_claim(folder: Path, name: str, **changes: object) -> Path:
    folder.mkdir(exist_ok=True)
    me = os.getpid()
    claim = {"host": this_host(), "pid": me, "started": started(me), "token": "t", "about": {}}
    path = folder / f"{name}.claim"
    path.write_text(json.dumps({**claim, **changes}))
    return path


def test_what_one_holds_another_cannot_take(tmp_path: Path) -> None:
    with Claims(tmp_path / "c") as one, Claims(tmp_path / "c") as two:
        assert one.take("v", stage=1) and not two.take("v") and not one.take("v")
        one.note("v", stage=2)
        holder = two.holder("v")
        assert holder and holder.pid == os.getpid() and holder.about == {"stage": 2}
        two.release("v")
        assert not two.take("v")
        one.release("v")
        assert two.holder("v") is None and two.take("v")
    assert not (tmp_path / "c").exists()


def test_others_are_those_of_a_kind_that_live(tmp_path: Path) -> None:
    die_with(tmp_path / "c", "process-dead")
    with Claims(tmp_path / "c") as one, Claims(tmp_path / "c") as two:
        one.take("process-1")
        two.take("process-2", name="two")
        two.take("v")
        assert [c.about for c in one.others("process-")] == [{"name": "two"}]
        assert one.doubtful("process-") == []


def test_a_dead_process_loses_its_claims_at_once(tmp_path: Path) -> None:
    die_with(tmp_path / "c", "v")
    with Claims(tmp_path / "c") as claims:
        assert claims.holder("v") is None and claims.take("v")
        assert [p.name for p in claims.folder.iterdir()] == ["v.claim"]


def test_a_process_that_ended_but_was_not_waited_for_is_dead(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        deadline = time.monotonic() + 60
        while started(child.pid) != "dead":
            assert time.monotonic() < deadline
            time.sleep(0.01)
        write_claim(tmp_path / "c", "v", pid=child.pid, started="1")
        with Claims(tmp_path / "c") as claims:
            assert claims.take("v")


def test_a_pid_that_was_given_away_does_not_hold_a_claim(tmp_path: Path) -> None:
    write_claim(tmp_path / "c", "v", started="1")
    write_claim(tmp_path / "c", "w")
    with Claims(tmp_path / "c") as claims:
        assert claims.take("v") and not claims.take("w")


@pytest.mark.parametrize("content", ['{"host": "elsewhere 1"}', "", '{"host": "el'])
def test_another_hosts_claim_is_dead_when_it_stands_still(
    tmp_path: Path, content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its clock says; likewise one whose writer died before it could sign it."""
    now = [100.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    path = write_claim(tmp_path / "c", "v", host="elsewhere 1")
    if content != '{"host": "elsewhere 1"}':
        path.write_text(content)
    os.utime(path, (1, 1))
    with Claims(tmp_path / "c", limit_sec=0.4) as claims:
        assert not claims.take("v")
        os.utime(path, (2, 2))
        now[0] += 0.3
        assert not claims.take("v")
        now[0] += 0.2
        os.utime(path, (3, 3))
        assert not claims.take("v")
        now[0] += 0.45
        assert claims.take("v")


def test_another_host_is_doubted_until_it_moves(tmp_path: Path) -> None:
    path = write_claim(tmp_path / "c", "process-1", host="elsewhere 1")
    with Claims(tmp_path / "c") as claims:
        assert len(claims.doubtful("process-")) == 1
        os.utime(path, (1, 1))
        assert claims.others("process-") and claims.doubtful("process-") == []


def test_what_is_held_is_touched(tmp_path: Path) -> None:
    with Claims(tmp_path / "c", limit_sec=0.3) as claims:
        claims.take("v")
        os.utime(claims.folder / "v.claim", (1, 1))
        until = time.monotonic() + 60
        while (claims.folder / "v.claim").stat().st_mtime <= 1:
            assert time.monotonic() < until
            time.sleep(0.01)


def test_of_many_takers_of_a_dead_claim_one_wins(tmp_path: Path) -> None:
    for attempt in range(20):
        folder = tmp_path / str(attempt)
        write_claim(folder, "v", started="1")
        takers = [Claims(folder) for _ in range(8)]
        start = threading.Barrier(8)
        won: list[bool] = []

        def race(taker: Claims, start: threading.Barrier = start, won: list[bool] = won) -> None:
            start.wait()
            won.append(taker.take("v"))

        threads = [threading.Thread(target=race, args=(t,)) for t in takers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(won) == 1
        for taker in takers:
            taker.close()
        assert not folder.exists()


def test_a_slow_taker_does_not_remove_a_new_claim(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One finds a claim dead, and falls asleep; another takes it over; the first wakes up."""
    write_claim(tmp_path / "c", "v", started="1")
    with Claims(tmp_path / "c") as slow, Claims(tmp_path / "c") as quick:
        judge = slow._dead
        with monkeypatch.context() as patch:
            patch.setattr(slow, "_dead", lambda *a: judge(*a) and quick.take("v"))
            assert not slow.take("v")
        assert quick.holder("v") and not slow.take("v")


def test_a_taker_that_dies_while_it_takes_over_blocks_nobody(tmp_path: Path) -> None:
    write_claim(tmp_path / "c", "removal-t", started="1", token="another")
    write_claim(tmp_path / "c", "v", started="1")
    with Claims(tmp_path / "c") as claims:
        assert claims.take("v")
        assert [p.name for p in claims.folder.iterdir()] == ["v.claim"]


def test_sweeping_removes_what_the_dead_have_left_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    die_with(folder, "dead", "process-dead")
    with Claims(folder) as one, Claims(folder) as two:
        two.take("alive")
        for name in (".dead.h5.1.tmp", ".gone.h5.1.tmp", ".alive.h5.1.tmp", "finished.h5"):
            (folder / name).write_bytes(b"")
        one.sweep()
        left = sorted(p.name for p in folder.iterdir())
        assert left == [".alive.h5.1.tmp", "alive.claim", "finished.h5"]


def test_a_claim_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SEC", 0.0)
    with Claims(tmp_path / "c") as one, Claims(tmp_path / "c") as two:
        one.take("v")
        threading.Timer(0.3, lambda: one.release("v")).start()
        with two.hold("v"):
            assert not one.take("v")
        assert one.take("v")


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with Claims(tmp_path / "file" / "c") as claims, pytest.raises(InputError, match="written"):
        claims.take("v")


def test_a_link_that_leads_nowhere_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with Claims(tmp_path / "link" / "parts") as claims, pytest.raises(InputError, match="nowhere"):
        claims.take("video")


def test_a_claim_has_all_its_text_from_its_first_moment_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between making and writing it, a process would leave a claim that names nobody."""
    texts, link = [], os.link

    def look(aside: Path, path: Path) -> None:
        assert not path.exists()
        link(aside, path)
        texts.append(path.read_text())

    monkeypatch.setattr(os, "link", look)
    with Claims(tmp_path / "c") as claims:
        assert claims.take("a")
        assert json.loads(texts[0])["pid"] == os.getpid()
        assert [p.name for p in (tmp_path / "c").iterdir()] == ["a.claim"]


def test_without_links_a_claim_is_made_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*paths: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    with Claims(tmp_path / "c") as one, Claims(tmp_path / "c") as other:
        assert one.take("a") and not other.take("a")


def test_a_claim_that_is_swept_away_before_it_is_made_is_made_whole_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process, which holds the name just then, takes it for what a dead one has left."""
    link = os.link

    def sweep_then_link(aside: Path, path: Path) -> None:
        monkeypatch.setattr(os, "link", link)
        aside.unlink()
        link(aside, path)

    monkeypatch.setattr(os, "link", sweep_then_link)
    monkeypatch.setattr(module, "_write_exclusively", only_aside(module._write_exclusively))
    with Claims(tmp_path / "c") as claims:
        assert claims.take("a")
        assert [p.name for p in (tmp_path / "c").iterdir()] == ["a.claim"]


def only_aside(write: Callable[[Path, str], None]) -> Callable[[Path, str], None]:
    def checked(path: Path, text: str) -> None:
        assert path.name.startswith("."), "written under its final name"
        write(path, text)

    return checked


def test_what_was_left_of_a_claim_that_is_held_now_is_swept_away(tmp_path: Path) -> None:
    with Claims(tmp_path) as claims:
        (tmp_path / ".lock.claim.0123456789ab.tmp").write_text("half")
        with claims.hold("lock"):
            claims.sweep()
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text", ['{"host": "h"}', '{"host": 1, "pid": "x"}', "[" * 99_999, "null", "[]"]
)
def test_a_damaged_claim_is_one_that_names_nobody(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.claim").write_text(text)
    with Claims(tmp_path, limit_sec=0.2) as claims:
        assert str(claims.holder("a")) == "a process"
        with claims.hold("a"):  # taken over once it has stood still
            pass


STRANGE: dict[str, Any] = {
    "other bytes": b"\xff\xfe\x00claim",
    "a number beyond 64 bits": {"pid": 2**70},
    "a truth value for a number": {"pid": True},
    "a token with a slash": {"token": "../../x"},
    "a host of blanks": {"host": "  "},
    "lists in lists": b"[" * 100_000,
}


@pytest.mark.parametrize("what", [*STRANGE, "pipe", "link to nothing", "loop"])
def test_what_is_no_claim_of_ours_is_another_host_s_until_it_has_stood_still(
    what: str, tmp_path: Path
) -> None:
    folder = tmp_path / "c"
    folder.mkdir()
    path = folder / "a.claim"
    if what == "pipe":
        os.mkfifo(path)
    elif what in ("link to nothing", "loop"):
        path.symlink_to("nowhere" if what == "link to nothing" else "a.claim")
    elif isinstance(content := STRANGE[what], bytes):
        path.write_bytes(content)
    else:
        claim = {"host": this_host(), "pid": 1, "started": "1", "token": "t", "about": {}}
        path.write_text(json.dumps(claim | content))
    with Claims(folder, limit_sec=0.2) as claims:
        assert not claims.take("a") and str(claims.holder("a")) == "a process"
        until = time.monotonic() + 60
        while not claims.take("a"):
            assert time.monotonic() < until
            time.sleep(0.05)
    assert [p.name for p in tmp_path.iterdir()] in ([], ["c"])
