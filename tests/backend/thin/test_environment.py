"""What a host's own environment leaves to the backend that it starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.thin import installed
from backend.thin.environment import clean_environment
from backend.thin.protocol import BACKEND_UNAVAILABLE, ThinError

USERS = {"HOME": "/home/u", "PATH": "/usr/bin:/bin", "LANG": "de_DE.UTF-8", "CUDA_VISIBLE_DEVICES": "0", "TMPDIR": "/t"}


@pytest.mark.parametrize(
    "hosts",
    [
        {
            "PYTHONPATH": "/k",
            "PYTHONHOME": "/k",
            "LD_LIBRARY_PATH": "/k",
            "QT_PLUGIN_PATH": "/k",
            "GI_TYPELIB_PATH": "/g",
        },
        {"GIMP3_PLUGINDIR": "/g", "GEGL_PATH": "/g", "BABL_PATH": "/g", "GTK_PATH": "/g", "GDK_PIXBUF_MODULEDIR": "/g"},
        {"APPIMAGE": "/d/krita.AppImage", "APPDIR": "/tmp/.mount_k", "ARGV0": "krita", "OWD": "/home/u"},
        {"DYLD_LIBRARY_PATH": "/Applications/krita.app", "__PYVENV_LAUNCHER__": "/x", "VIRTUAL_ENV": "/v"},
        {"FLATPAK_ID": "org.gimp.GIMP", "SNAP_NAME": "krita", "GIO_MODULE_DIR": "/snap/gio"},
    ],
)
def test_what_concerns_the_host_alone_is_left_out(hosts: dict[str, str]) -> None:
    assert clean_environment({**USERS, **hosts}) == USERS


def test_what_a_launcher_kept_is_put_back() -> None:
    given = {**USERS, "LD_LIBRARY_PATH": "/bundle", "LD_LIBRARY_PATH_ORIG": "/opt/cuda", "PYTHONPATH_ORIG": ""}
    assert clean_environment(given) == {**USERS, "LD_LIBRARY_PATH": "/opt/cuda"}


def test_folders_of_an_app_image_are_not_searched_for_programs() -> None:
    mounted = "/tmp/.mount_kritaX"
    given = {**USERS, "APPDIR": mounted, "PATH": f"{mounted}/usr/bin:{mounted}:{mounted}Y/bin:/usr/bin"}
    assert clean_environment(given)["PATH"] == f"{mounted}Y/bin:/usr/bin"


def test_a_snaps_home_is_the_users_own_again() -> None:
    inside = "/home/u/snap/krita/103"
    given = {**USERS, "SNAP": "/snap/krita/103", "SNAP_REAL_HOME": "/home/u", "HOME": inside}
    given |= {"XDG_CONFIG_HOME": f"{inside}/.config", "XDG_DATA_DIRS": "/snap/krita/103/usr/share:/usr/share"}
    assert clean_environment(given) == {**USERS, "XDG_DATA_DIRS": "/usr/share"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without a record and without `gknet` anywhere."""
    monkeypatch.setattr(installed, "INSTALLED", tmp_path / "installed.json")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.delenv(installed.VARIABLE, raising=False)
    return tmp_path


def put_command(folder: Path) -> str:
    folder.mkdir(parents=True)
    (folder / "gknet").touch(mode=0o755)
    return str(folder / "gknet")


def test_a_plug_in_without_a_record_finds_the_command_where_installers_put_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if Path("/usr/local/bin/gknet").exists():
        pytest.skip("this machine has one for everybody")
    with pytest.raises(ThinError) as caught:
        installed.build_command("serve")
    assert caught.value.code == BACKEND_UNAVAILABLE
    assert installed.VARIABLE in caught.value.hint
    by_pipx = put_command(home / ".local/share/pipx/venvs/gknet-harmonize/bin")
    assert installed.build_command("serve") == [by_pipx, "serve"]
    by_hand = put_command(home / ".local" / "bin")
    assert installed.build_command("doctor") == [by_hand, "doctor"]
    on_path = put_command(home / "path")
    assert installed.build_command("serve") == [on_path, "serve"]
    installed.INSTALLED.write_text('{"command": ["/p/python", "-m", "backend", "serve"]}')
    assert installed.build_command("serve") == ["/p/python", "-m", "backend", "serve"]
    assert installed.build_command("doctor") == ["/p/python", "-m", "backend", "doctor"]
    monkeypatch.setenv(installed.VARIABLE, "~/gknet")
    assert installed.build_command("serve") == [str(home / "gknet"), "serve"]
