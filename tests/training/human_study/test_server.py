"""The real command over a real socket: what it serves, refuses, keeps, and says about bad input."""

from __future__ import annotations

import json
import re
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.training.running_study import METHODS, RunningStudy
from training.human_study.study import Study
from training.human_study.votes import read_votes

pytestmark = pytest.mark.integration


@pytest.fixture
def study(study_folders: list[Path], votes: Path) -> Iterator[RunningStudy]:
    with RunningStudy(study_folders, votes) as running:
        yield running


@pytest.fixture(scope="module")
def kept_votes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("study") / "votes.jsonl"


@pytest.fixture(scope="module")
def kept_study(made_study_folders: list[Path], kept_votes: Path) -> Iterator[RunningStudy]:
    """One for all tests that need not know what else was asked of it."""
    with RunningStudy(made_study_folders, kept_votes) as running:
        yield running


def counted(folders: list[Path], votes: Path) -> int:
    return len(read_votes(votes, Study(folders, folders[-1])).by_question)


def test_every_two_methods_meet_on_every_picture_once(kept_study: RunningStudy) -> None:
    trials = kept_study.fetch_trials("anna")
    assert len(trials) == 3 * 3
    assert len({(trial["composite"], frozenset((trial["left"], trial["right"]))) for trial in trials}) == 9
    assert all(trial["choice"] is None for trial in trials)
    assert kept_study.fetch_trials("anna") == trials
    assert kept_study.fetch_trials("ben") != trials
    assert kept_study.first == "Methods: 3, pictures: 3, questions to each voter: 9.\n"


def test_order_and_sides_are_fair_over_many_voters(study_folders: list[Path]) -> None:
    study = Study(study_folders, study_folders[-1])
    first = [study.draw_trials(str(voter))[0] for voter in range(3000)]
    for method in METHODS:
        sides = [trial.left == method for trial in first if method in trial]
        assert len(sides) == pytest.approx(2000, abs=120)  # more than four standard deviations
        assert sum(sides) / len(sides) == pytest.approx(0.5, abs=0.05)


def test_pictures_are_the_files_and_their_addresses_say_nothing(
    kept_study: RunningStudy, made_study_folders: list[Path]
) -> None:
    files = {path.read_bytes() for folder in made_study_folders for path in folder.iterdir()}
    addresses = {trial[side] for trial in kept_study.fetch_trials("anna") for side in ("composite", "left", "right")}
    assert len(addresses) == 4 * 3  # the untouched ones have two addresses: as composite and as result
    for address in addresses:
        response, content = kept_study.ask("GET", address)
        assert response.status == 200
        assert response.headers["Content-Type"] == ("image/jpeg" if content.startswith(b"\xff\xd8") else "image/png")
        assert content in files
        assert re.fullmatch(r"/pictures/[\w-]{16}", address)


def test_a_restart_changes_the_addresses(study_folders: list[Path], votes: Path) -> None:
    seen = []
    for _ in range(2):
        with RunningStudy(study_folders, votes) as study:
            seen.append(
                {trial[side] for trial in study.fetch_trials("anna") for side in ("composite", "left", "right")}
            )
            study.end()
    assert not seen[0] & seen[1]


def test_nothing_that_is_served_names_a_method_or_leaves_the_page_open(kept_study: RunningStudy) -> None:
    addresses = [
        "/",
        "/page.css",
        "/page.js",
        "/trials?voter=anna",
        kept_study.fetch_trials("anna")[0]["left"],
        "/nothing",
    ]
    for address in addresses:
        response, content = kept_study.ask("GET", address)
        told = content + str(response.headers).encode()
        assert not any(method.encode() in told for method in METHODS), address
        policy = response.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; ")
        assert "unsafe" not in policy
        assert response.headers["X-Content-Type-Options"] == "nosniff"
    for address in ("/", "/page.css", "/page.js"):
        assert not re.search(rb"https?:|//[a-z]|@import|url\(|<script>|style=", kept_study.ask("GET", address)[1])


def test_it_listens_on_this_machine_alone(kept_study: RunningStudy) -> None:
    listening = [
        connection.laddr.ip
        for connection in psutil.Process(kept_study.process.pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening == ["127.0.0.1"]


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "", "[", "192.168.0.2"]
)
def test_other_names_of_this_machine_are_refused(kept_study: RunningStudy, host: str) -> None:
    for method, address in (("GET", "/"), ("GET", "/trials?voter=anna"), ("POST", "/votes")):
        assert kept_study.ask(method, address, headers={"Host": host})[0].status == 403


def test_a_forwarded_port_works(study: RunningStudy) -> None:
    own = {"Host": "localhost:9000", "Origin": "http://localhost:9000"}
    assert study.ask("GET", "/", headers=own)[0].status == 200
    body = {"voter": "anna", "trial": 0, "choice": "left"}
    assert study.ask("POST", "/votes", body, headers=own)[0].status == 204


@pytest.mark.parametrize(
    "headers",
    [{"Content-Type": "text/plain"}, {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"}],
)
def test_other_sites_cannot_vote(kept_study: RunningStudy, kept_votes: Path, headers: dict[str, str]) -> None:
    before = kept_votes.read_bytes()
    body = {"voter": "anna", "trial": 0, "choice": "left"}
    assert kept_study.ask("POST", "/votes", body, headers=headers)[0].status == 403
    assert kept_votes.read_bytes() == before


@pytest.mark.parametrize(
    "body",
    [
        {"voter": "anna", "trial": 9, "choice": "left"},
        {"voter": "anna", "trial": -1, "choice": "left"},
        {"voter": "anna", "trial": True, "choice": "left"},
        {"voter": "anna", "trial": 0, "choice": "top"},
        {"voter": "anna", "trial": 0, "choice": ["left"]},
        {"voter": " ", "trial": 0, "choice": "left"},
        {"voter": "a" * 65, "trial": 0, "choice": "left"},
        {"voter": "a\nb", "trial": 0, "choice": "left"},
        {"voter": "a" * 5000, "trial": 0, "choice": "left"},
        {"trial": 0, "choice": "left"},
        [],
        None,
    ],
)
def test_what_is_no_vote_is_refused(kept_study: RunningStudy, kept_votes: Path, body: object) -> None:
    before = kept_votes.read_bytes()
    assert kept_study.ask("POST", "/votes", body)[0].status == 400
    assert kept_votes.read_bytes() == before
    assert kept_study.vote("zoe", 0, "left") == 204  # and it goes on


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST /votes HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\0" * 70_000,
    ],
)
def test_broken_requests_end_their_connection_only(study: RunningStudy, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", study.port), timeout=30) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while received := connection.recv(65536):
                answer += received
        except ConnectionError:
            pass
    assert b"200 OK" not in answer
    assert study.vote("anna", 0, "left") == 204
    assert "Traceback" not in study.end()


def test_two_voters_at_once_are_both_heard(study: RunningStudy, study_folders: list[Path], votes: Path) -> None:
    def vote_all(voter: str) -> list[int]:
        return [study.vote(voter, number, "right") for number in range(9)]

    voters = ["anna", "ben", "Çağla", "日本"]
    with ThreadPoolExecutor(len(voters)) as together:
        assert [status for statuses in together.map(vote_all, voters) for status in statuses] == [204] * 36
    lines = [json.loads(line) for line in votes.read_text(encoding="utf-8").splitlines()]
    assert sorted(line["voter"] for line in lines) == sorted(voters * 9)
    assert counted(study_folders, votes) == 36
    assert study.end() == f"Ended. Votes in {votes}: 36, voters: 4.\n"
    assert study.process.returncode == 0


def test_votes_outlive_the_server(study_folders: list[Path], votes: Path) -> None:
    with RunningStudy(study_folders, votes) as study:
        assert [study.vote("anna", 0, "left"), study.vote("anna", 1, "none"), study.vote("ben", 5, "right")] == [
            204
        ] * 3
        study.end(signal.SIGKILL)
    with votes.open("ab") as file:
        file.write(b'{"study": "torn')
    with RunningStudy(study_folders, votes) as study:
        assert [trial["choice"] for trial in study.fetch_trials("anna")] == ["left", "none", *[None] * 7]
        assert [trial["choice"] for trial in study.fetch_trials("ben")][5] == "right"
        assert study.vote("anna", 0, "right") == 204  # the voter went back
        assert study.fetch_trials("anna")[0]["choice"] == "right"
        told = study.end()
    assert f"The last line of {votes} was cut off by a crash and is ignored." in told
    assert f"Ended. Votes in {votes}: 3, voters: 2.\n" in told
