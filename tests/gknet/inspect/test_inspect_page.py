"""`gknet inspect` and its page: everything is drawn, nothing is fetched, bad input leaves nothing."""

from __future__ import annotations

import base64
import io
import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

from gknet import GKNet, Harmonizer, preset
from gknet.cli.app import main
from gknet.errors import PictureError
from gknet.inspect import page
from gknet.inspect.attention_maps import draw_attention_map
from gknet.inspect.channel_weights import draw_channel_weights
from gknet.inspect.kernel_clusters import draw_kernel_clusters
from gknet.inspect.page import Plate, Section
from gknet.inspect.record import record
from gknet.network import weights
from gknet.network.config import ablations

pytestmark = pytest.mark.integration

Run = Callable[..., tuple[int, str, str]]
DEMO = Path(page.__file__).parents[1] / "demo"


class Pictures(HTMLParser):
    """What a page shows by name, and everything that it would fetch from elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.shown: dict[str, bytes] = {}
        self.outside: list[str] = []
        self.ids: list[str | None] = []
        self.links: list[str] = []
        self._figure = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.ids += [values["id"]] if "id" in values else []
        self.links += [str(values["href"]).removeprefix("#")] if "href" in values else []
        if tag == "figure":
            self._figure = str(values["id"])
        source = values.get("src") or ""
        if tag == "img" and source.startswith("data:image/png;base64,"):
            assert values["alt"]
            self.shown[self._figure] = base64.b64decode(source.split(",")[1])
        elif tag in ("link", "script", "iframe") or source:
            self.outside.append(tag)


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs `gknet inspect` beside a small `picture.png` and `mask.png`; exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    for name in ("composite.jpg", "mask.png"):
        with Image.open(DEMO / name) as file:
            file.reduce(4).save(f"{Path(name).stem}.png")

    def command(*arguments: object) -> tuple[int, str, str]:
        code = 0
        try:
            main(["inspect", *(str(argument) for argument in arguments)])
        except SystemExit as end:
            code = int(end.code or 0)
        return code, *capfd.readouterr()

    return command


def page_at(folder: Path) -> Pictures:
    """A page that needs nothing else, and whose pictures lie beside it."""
    pictures = Pictures((folder / "index.html").read_text(encoding="utf-8"))
    assert pictures.outside == []
    assert len(set(pictures.ids)) == len(pictures.ids)
    assert set(pictures.links) < set(pictures.ids)
    for name, png in pictures.shown.items():
        assert (folder / f"{name}.png").read_bytes() == png
        check_drawn(png)
    assert {path.name for path in folder.iterdir()} == {"index.html", *(f"{name}.png" for name in pictures.shown)}
    return pictures


def check_drawn(png: bytes) -> None:
    """As wide as all pictures of the page, and not empty."""
    with Image.open(io.BytesIO(png)) as drawn:
        assert drawn.width == 1210
        colors = drawn.convert("RGB").getcolors(1 << 24)
        assert colors is not None
        assert len(colors) > 100


def test_every_kind_of_map_is_drawn(shipped: Harmonizer, given: tuple[Tensor, Tensor]) -> None:
    seen = record(shipped.net, *given)
    for plate in (draw_attention_map(seen, 1, 0, (1, 1)), draw_channel_weights(seen, 3), draw_kernel_clusters(seen, 3)):
        check_drawn(plate.png)


def test_a_network_without_kernels_gets_a_page_without_them(run: Run, tmp_path: Path) -> None:
    baseline = ablations(replace(preset("gknet-s"), width=8))["baseline"]
    weights.save(GKNet(baseline), tmp_path / "bare.safetensors")
    own = ("--model", tmp_path / "bare.safetensors")
    arguments = ("composite.png", "mask.png", "-o", "page", *own, "--device", "cpu")
    assert run(*arguments) == (0, "Wrote page/index.html\n", "")
    assert set(page_at(tmp_path / "page").shown) == {"result", "change-maps", "change-curves", "variants", "sight"}
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "bare.safetensors",
        "composite.png",
        "mask.png",
        "page",
    ]


@pytest.mark.slow
def test_the_shipped_network_gets_a_page_of_all_its_parts(run: Run, tmp_path: Path) -> None:
    names = {"result", "change-maps", "change-curves", "variants", "sight", "attention-1", "attention-2"}
    names |= {f"{kind}-{level}" for kind in ("fusion", "kernels") for level in (1, 2, 3, 4)}
    for point in ("5,5", "120,90"):  # the second page replaces the first
        assert run("composite.png", "mask.png", "-o", "page", "--point", point) == (0, "Wrote page/index.html\n", "")
        assert set(page_at(tmp_path / "page").shown) == names
        assert f"pixel {point}," in (tmp_path / "page" / "index.html").read_text(encoding="utf-8")


def test_bad_input_gets_one_line_and_leaves_nothing(run: Run, tmp_path: Path) -> None:
    Image.new("L", (300, 400), 0).save("black.png")
    Image.new("L", (30, 40), 255).save("small.png")
    Path("words.png").write_text("not a picture", encoding="utf-8")
    Path("file").write_text("precious", encoding="utf-8")
    Path("full").mkdir()
    Path("full/index.html").write_text("somebody's own page", encoding="utf-8")
    before = sorted(tmp_path.rglob("*"))
    pictures = ("composite.png", "mask.png")
    for arguments, word in (
        (("composite.png", "black.png", "-o", "page"), "completely black"),
        (("composite.png", "small.png", "-o", "page"), "30x40"),
        (("words.png", "mask.png", "-o", "page"), "unknown file format"),
        (("composite.png", "missing.png", "-o", "page"), "does not exist"),
        ((*pictures, "-o", "page", "--point", "300,0"), "0,0 to 299,399"),
        ((*pictures, "-o", "page", "--point", "-1,5"), "outside the picture"),
        ((*pictures, "-o", "page", "--point", "left"), "--point 420,310"),
        ((*pictures, "-o", "file"), "is a file"),
        ((*pictures, "-o", "full"), "contains other files"),
        ((*pictures, "-o", "."), "the current folder"),
        ((*pictures, "-o", "nowhere/page"), "does not exist"),
        ((*pictures, "-o", "page", "--network-size", "9"), "network size"),
        ((*pictures, "-o", "page", "--model", "gknet"), "Unknown weights"),
        ((*pictures, "-o", "page", "--device", "abacus"), "not available"),
    ):
        code, out, err = run(*arguments)
        assert (code, out, err.count("\n")) == (2, "", 1), (arguments, err)
        assert err.startswith("gknet: ")
        assert word in err, err
        assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("library", ["matplotlib", "sklearn"])
def test_without_what_draws_it_says_what_to_install(run: Run, monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    code, out, err = run("composite.png", "mask.png", "-o", "page")
    assert (code, out) == (2, "")
    assert err.startswith("gknet: Drawing needs the packages matplotlib and scikit-learn. ")
    assert err.endswith('pip install "gknet-harmonize[figures]"\n')


def test_an_earlier_page_is_replaced_and_kept_if_the_new_one_fails(tmp_path: Path) -> None:
    folder = tmp_path / "page"
    first = Section("change", "What it did", "…", [Plate("result", "One", "…", b"1"), Plate("kernels-4", "", "", b"4")])
    page.write(folder, "a.png", "gknet-s", [first])
    assert sorted(path.name for path in folder.iterdir()) == ["index.html", "kernels-4.png", "result.png"]
    page.write(folder, "<b>.png", "gknet-s", [Section("change", "", "", [Plate("result", "Two", "…", b"2")])])
    assert sorted(path.name for path in folder.iterdir()) == ["index.html", "result.png"]
    assert "&lt;b&gt;.png" in (folder / "index.html").read_text(encoding="utf-8")
    for place in (folder, tmp_path / "new"):
        with pytest.raises(PictureError, match="cannot be written"):
            page.write(place, "c.png", "gknet-s", [Section("change", "", "", [Plate("no/where", "", "", b"3")])])
    assert (folder / "result.png").read_bytes() == b"2"
    assert [path.name for path in tmp_path.iterdir()] == ["page"]
    (folder / "mine.txt").write_text("precious", encoding="utf-8")
    with pytest.raises(PictureError, match="contains other files"):
        page.check_folder(folder)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(3, 2000), (2000, 3), (20, 20), (300, 900)])
def test_pictures_of_any_shape_get_a_page(run: Run, tmp_path: Path, size: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
    mask = np.zeros(size, np.uint8)
    mask[: size[0] // 2 + 1, : size[1] // 2 + 1] = 255
    Image.fromarray(picture).save("odd.png")
    Image.fromarray(mask).save("odd-mask.png")
    assert run("odd.png", "odd-mask.png", "-o", "page")[0] == 0
    assert (tmp_path / "page" / "index.html").exists()
