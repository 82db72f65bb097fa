"""The pages of package indexes in both formats, the choice of uv's wheel, and pip's settings."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from backend.thin.engine import uv
from backend.thin.engine.environment import INDEX_VARIABLE, Sources, choose_torch
from backend.thin.engine.index_page import parse_page
from backend.thin.engine.settings import read_index_settings
from backend.thin.protocol import ThinError

SHA = "0123456789abcdef" * 4
NAMES = [
    f"uv-{version}-py3-none-{tag}.whl"
    for version in ("0.9.9", "0.13.2", "0.10.0")
    for tag in (
        *("manylinux_2_17_x86_64.manylinux2014_x86_64", "musllinux_1_1_x86_64", "macosx_11_0_arm64", "win_amd64"),
        *("manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64", "macosx_10_12_x86_64", "win_arm64"),
    )
]


def build_json(names: list[str], **facts: object) -> bytes:
    files = [{"filename": name, "url": f"../../f/{name}", "hashes": {"sha256": SHA}, **facts} for name in names]
    return json.dumps({"files": files}).encode()


def test_both_formats_give_the_same_wheels() -> None:
    links = "".join(f'<a href="../../f/{name}#sha256={SHA}">{name}</a>' for name in [*NAMES, "uv-0.14.tar.gz"])
    from_html = parse_page(f"<html>{links}</html>".encode(), "https://index.test/simple/uv/")
    from_json = parse_page(build_json([*NAMES, "uv-0.14.tar.gz"]), "https://index.test/simple/uv/")
    assert from_html == from_json
    assert from_html[0].address == f"https://index.test/f/{NAMES[0]}"
    assert len(from_html) == len(NAMES)


def test_withdrawn_files_preleases_and_files_without_sha256_are_left_out() -> None:
    name = NAMES[0]
    assert parse_page(build_json([name], yanked="broken"), "https://x/") == []
    assert parse_page(build_json([name], hashes={"md5": "0"}), "https://x/") == []
    assert parse_page(build_json(["uv-1.0rc1-py3-none-win_amd64.whl"]), "https://x/") == []
    assert parse_page(f'<a href="{name}#sha256={SHA}" data-yanked="">x</a>'.encode(), "https://x/") == []
    assert parse_page(f'<a href="{name}">x</a>'.encode(), "https://x/") == []
    with pytest.raises(ValueError, match="files"):
        parse_page(b"{}", "https://x/")
    with pytest.raises(ValueError, match="RecursionError"):
        parse_page(b'{"files":' + b"[" * 100_000, "https://x/")


@pytest.mark.parametrize(
    ("platform", "machine", "tag"),
    [
        ("linux", "x86_64", "manylinux_2_17_x86_64.manylinux2014_x86_64"),
        ("linux", "aarch64", "manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64"),
        ("darwin", "arm64", "macosx_11_0_arm64"),
        ("win32", "AMD64", "win_amd64"),
        ("win32", "ARM64", "win_arm64"),
    ],
)
def test_the_newest_uv_for_this_system(monkeypatch: pytest.MonkeyPatch, platform: str, machine: str, tag: str) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(uv.platform, "machine", lambda: machine)
    assert uv.choose_wheel(parse_page(build_json(NAMES), "https://x/")).name == f"uv-0.13.2-py3-none-{tag}.whl"


def test_no_uv_for_this_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uv.platform, "machine", lambda: "s390x")
    with pytest.raises(ThinError, match=r"no uv for .* on s390x") as caught:
        uv.choose_wheel(parse_page(build_json(NAMES), "https://x/"))
    assert "Install Python" in caught.value.hint


@pytest.mark.parametrize(
    ("platform", "build", "expected"),
    [
        ("linux", "cpu", ("torch==9.9+cpu", "whl/cpu")),
        ("linux", "cuda", ("torch==9.9", "")),
        ("win32", "cpu", ("torch==9.9", "")),
        ("win32", "cuda", ("torch==9.9+cu130", "whl/cu130")),
        ("darwin", "cpu", ("torch==9.9", "")),
    ],
)
def test_the_build_of_pytorch(
    monkeypatch: pytest.MonkeyPatch, platform: str, build: str, expected: tuple[str, str]
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    requirement, index = choose_torch(Sources(build=build), "9.9", {})
    assert requirement == expected[0]
    assert index.endswith(expected[1])
    assert bool(index) == bool(expected[1])
    assert choose_torch(Sources(offline=Path("/w"), build=build), "9.9", {}) == ("torch==9.9", "")
    if index:
        assert choose_torch(Sources(build=build), "9.9", {INDEX_VARIABLE: "https://copy"})[1] == "https://copy"


def test_settings_come_from_pips_variables_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    environment = {"HOME": str(tmp_path), "XDG_CONFIG_DIRS": str(tmp_path / "xdg"), "PIP_CONFIG_FILE": ""}
    (tmp_path / ".config" / "pip").mkdir(parents=True)
    file = tmp_path / ".config" / "pip" / "pip.conf"
    first, second = str(tmp_path / "c.pem"), str(tmp_path / "d.pem")
    for certificates in (first, second):
        Path(certificates).touch()
    file.write_text(f"[global]\nindex-url = https://u:p@mirror/simple/\ncert = {first}\nproxy = http://p:1\n")
    settings = read_index_settings(environment)
    assert (settings.index, settings.certificates, settings.proxy) == (
        *("https://u:p@mirror/simple", first, "http://p:1"),
    )
    assert settings.build_variables() == {
        "HTTP_PROXY": "http://p:1",
        "HTTPS_PROXY": "http://p:1",
        "SSL_CERT_FILE": first,
    }
    named = read_index_settings({**environment, "PIP_INDEX_URL": "https://other", "PIP_CERT": second})
    assert (named.index, named.certificates) == ("https://other", second)
    monkeypatch.setattr(sys, "platform", "win32")
    (tmp_path / "roaming" / "pip").mkdir(parents=True)
    (tmp_path / "roaming" / "pip" / "pip.ini").write_text("[global]\nindex_url = https://windows/simple\n")
    assert read_index_settings({"APPDATA": str(tmp_path / "roaming")}).index == "https://windows/simple"
