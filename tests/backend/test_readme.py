"""The commands and links of the README and the user's and contributor's pages work as printed."""

from __future__ import annotations

import importlib.util
import re
import shlex
import tomllib
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from backend.cli import app, main
from tests.gknet import ora

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
USER_PAGES = (
    "README.md",
    *(f"docs/{name}.md" for name in ("install", "plugins", "troubleshooting", "command-line", "python", "colour")),
)
PAGES = (*USER_PAGES, "CONTRIBUTING.md", "docs/glossary.md", "docs/layers.md")
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with every file that the README's commands take: half-lit cups in other scenes."""
    monkeypatch.chdir(tmp_path)
    photo = np.asarray(Image.fromarray(skimage.data.astronaut()).resize((800, 600)))
    cup = skimage.data.coffee()[100:300, 150:400] // 2
    rows, columns = np.mgrid[: cup.shape[0], : cup.shape[1]]
    alpha = np.where((rows - 100) ** 2 + (columns - 125) ** 2 < 90**2, 255, 0).astype(np.uint8)
    cutout = np.dstack([cup, alpha])
    composite, mask = photo.copy(), np.zeros(photo.shape[:2], np.uint8)
    mask[310:510, 420:670] = alpha
    composite[310:510, 420:670][alpha > 0] = cup[alpha > 0]
    for name, pixels in (
        ("photo.jpg", photo),
        ("cutout.png", cutout),
        ("composite.png", composite),
        ("mask.png", mask),
    ):
        Image.fromarray(pixels).save(name)
    layer = '<layer name="{0}" src="{0}.png" x="{1}" y="{2}"/>'
    layers = ora.stack((800, 600), layer.format("cup", 420, 310) + layer.format("photo", 0, 0))
    ora.write(Path("picture.ora"), layers, {"cup.png": ora.png(cutout), "photo.png": ora.png(photo)})
    Path("pictures").mkdir()
    Image.fromarray(composite).save("pictures/cup.png")
    Image.fromarray(mask).save("pictures/cup_mask.png")
    return tmp_path


def section(title: str) -> str:
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_the_commands_harmonize_what_they_are_given(folder: Path) -> None:
    (block,) = re.findall(r"```bash\n(.*?)```", section("On the command line"), re.DOTALL)
    commands = [shlex.split(line) for line in block.splitlines() if line.startswith("gknet ")]
    assert len(commands) > 3
    for words in commands:
        with pytest.raises(SystemExit) as ended:
            main(words[1:])
        assert ended.value.code == 0, words
    composite, mask = (np.asarray(Image.open(name)) for name in ("composite.png", "mask.png"))
    for written in ("harmonized.png", "results/cup.png"):
        change = np.abs(np.asarray(Image.open(folder / written)).astype(int) - composite).mean(axis=2)
        assert change[mask == 0].max() == 0
        assert change[mask > 0].mean() > 1
    assert np.asarray(Image.open("pasted.jpg")).shape == composite.shape
    assert b"cup (harmonized)" in ora.contents(Path("layered.ora"))["stack.xml"]


def test_the_script_harmonizes_what_it_is_given(folder: Path) -> None:
    (script,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(script, "README.md", "exec"), {})
    composite, mask = (np.asarray(Image.open(name)) for name in ("composite.png", "mask.png"))
    change = np.abs(np.asarray(Image.open(folder / "harmonized.png")).astype(int) - composite).mean(axis=2)
    assert change[mask == 0].max() == 0
    assert change[mask > 0].mean() > 1


def test_the_first_two_sh_blocks_run_the_demo_and_the_tests() -> None:
    demo, tests = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)[:2]
    assert demo.rstrip().endswith("gknet demo")
    assert tests.rstrip().endswith("python -m pytest -n auto")


@pytest.mark.parametrize("page", USER_PAGES)
def test_every_gknet_command_on_the_page_is_one_that_exists(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    shown = re.findall(r"^(?: {4,}|\$ )?(?:~/\.venv/bin/|\.venv/bin/|RAY_ADDRESS=\w+ )?(gknet .*)$", text, re.MULTILINE)
    shown += re.findall(r"`(gknet [^`]+)`", text)
    assert shown
    for command in shown:
        name, *rest = shlex.split(command)[1:]
        assert name in list(app), command
        if rest and rest != ["--help"]:  # a name alone may stand for the command with any arguments
            app.parse_args([name, *rest], exit_on_error=False, print_error=False)


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/colour.md", "docs/layers.md"])
def test_every_module_and_every_test_folder_on_the_page_exists(page: str) -> None:
    shown = re.findall(r"python -m ([^`\n]+)", (ROOT / page).read_text(encoding="utf-8"))
    assert shown
    for command in shown:
        module, *words = shlex.split(command)
        assert importlib.util.find_spec(module) is not None, command
        assert all((ROOT / word).exists() for word in words if word.startswith("tests/")), command


@pytest.mark.parametrize("page", ["docs/install.md", "docs/command-line.md", "docs/colour.md"])
def test_every_extra_on_the_page_exists(page: str) -> None:
    shown = re.findall(r"gknet-harmonize\[([\w,]+)\]", (ROOT / page).read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert shown
    assert {name for names in shown for name in names.split(",")} <= set(project["optional-dependencies"])


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings_that_exist(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", (ROOT / page).read_text(encoding="utf-8")):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        path = (ROOT / page).parent / name if name else ROOT / page
        assert path.is_file(), target
        headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE) if anchor else []
        slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert not anchor or anchor in slugs, target
