"""The script of the README, the commands for contributors, and the links of the pages lead where they should."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
USER_PAGES = ("install", "plugins", "troubleshooting", "command-line", "python", "colour", "glossary", "layers")
PAGES = ("README.md", "CONTRIBUTING.md", *(f"docs/{name}.md" for name in USER_PAGES))
README = (ROOT / "README.md").read_text(encoding="utf-8")


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


def test_every_module_and_every_test_folder_for_contributors_exists() -> None:
    shown = re.findall(r"python -m ([^`\n]+)", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert shown
    for command in shown:
        module, *words = shlex.split(command)
        assert importlib.util.find_spec(module) is not None, command
        assert all((ROOT / word).exists() for word in words if word.startswith("tests/")), command


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
