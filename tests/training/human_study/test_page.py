"""The study's page in a real browser, by keyboard, mouse and finger; its screenshots go to `study` in GKNET_SHOTS."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, expect, sync_playwright

from gknet import Harmonizer
from gknet.cli import demo as example
from tests.training.browser import chromium
from tests.training.running_study import RunningStudy

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(1800)]  # the chroot may have to be built
LONG_SIDE = 1200
DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
WIDE, TALL = "astronaut", "dogs"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The demo's pictures harmonized half and fully, and untouched; one is wide and one is tall."""
    root = tmp_path_factory.mktemp("demo")
    harmonizer = Harmonizer.from_pretrained(device="cpu")
    made = {
        WIDE: example.harmonize_astronaut(harmonizer, lambda *_: None),
        TALL: example.harmonize_dog(harmonizer, lambda *_: None),
    }
    for name, row in made.items():
        untouched, harmonized = (np.asarray(row[key], np.float64) for key in (next(iter(row)), "harmonized"))
        for method, strength in (("half", 0.5), ("full", 1.0), ("untouched", 0.0)):
            (root / method).mkdir(exist_ok=True)
            mixed = Image.fromarray((untouched + strength * (harmonized - untouched)).round().astype(np.uint8))
            mixed.thumbnail((LONG_SIDE, LONG_SIDE))
            mixed.save(root / method / f"{name}.jpg", quality=92)
    return [root / "half", root / "full", root / "untouched"]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("browser")) as address, sync_playwright() as playwright:
        connected = playwright.chromium.connect_over_cdp(address)
        yield connected
        connected.close()


@pytest.fixture(scope="module")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(os.environ.get("GKNET_SHOTS") or tmp_path_factory.mktemp("shots")).absolute() / "study"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def study(folders: list[Path], votes: Path) -> Iterator[RunningStudy]:
    with RunningStudy(folders, votes) as running:
        yield running


Opened = Callable[..., Page]


@pytest.fixture
def opened(browser: Browser, study: RunningStudy) -> Iterator[Opened]:
    """A function that opens the page in a browser profile of its own; whatever the page complains of fails the test."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open_page(voter: str = "", **options: object) -> Page:
        context = browser.new_context(**{"viewport": DESKTOP, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text) if is_complaint(message) else None)
        page.goto(f"{study.url}#{voter}")
        if voter:
            at_question(page, 1)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def is_complaint(message: ConsoleMessage) -> bool:
    """Not where a test takes the study away."""
    away = ("ERR_INTERNET_DISCONNECTED", "ERR_CONNECTION_REFUSED", "/pictures/")
    return message.type == "error" and not any(part in message.text + message.location["url"] for part in away)


def at_question(page: Page, number: int) -> None:
    """Waits until that question is on the screen, with its pictures."""
    expect(page.locator("#count")).to_have_text(f"{number} of 6")
    expect(page.locator("#question img")).to_have_count(3)
    expect(page.locator("#stage")).to_have_attribute("aria-busy", "false")


def lines(votes: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in votes.read_text(encoding="utf-8").splitlines()]


def box(one: Locator) -> tuple[float, float, float, float]:
    """left, top, width, height in pixels of the page."""
    found = one.bounding_box()
    assert found
    return found["x"], found["y"], found["width"], found["height"]


def test_a_voter_reads_what_to_do_types_a_name_and_votes_by_keyboard(opened: Opened, votes: Path, shots: Path) -> None:
    page = opened()
    expect(page.get_by_role("heading", name="Which looks more natural?")).to_be_visible()
    expect(page.locator("#question")).to_be_hidden()
    page.screenshot(path=shots / "welcome.png")
    page.keyboard.type("Anna B. #1")
    page.keyboard.press("Enter")
    at_question(page, 1)
    page.screenshot(path=shots / "question-1.png")
    for number, key in enumerate(("ArrowLeft", "ArrowRight", "n", "ArrowUp", "ArrowDown", "N"), start=1):
        at_question(page, number)
        page.keyboard.press(key)
    expect(page.get_by_role("heading", name="That was all. Thank you!")).to_be_visible()
    page.screenshot(path=shots / "finished.png")
    page.keyboard.press("Backspace")
    at_question(page, 6)
    expect(page.locator("#none")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="No difference").click()
    expect(page.get_by_role("heading", name="That was all. Thank you!")).to_be_visible()
    assert [line["choice"] for line in lines(votes)] == ["left", "right", "none", "left", "right", "none", "none"]
    assert {line["voter"] for line in lines(votes)} == {"Anna B. #1"}


def test_the_picture_that_is_clicked_is_the_one_that_wins(
    opened: Opened, study: RunningStudy, folders: list[Path], votes: Path
) -> None:
    """Followed by the picture's own bytes from the screen to the file of votes."""
    page = opened("anna")
    for number, side in enumerate(("left", "right", "left"), start=1):
        at_question(page, number)
        address = page.locator(f"#{side} img").evaluate("image => new URL(image.src).pathname")
        shown = study.ask("GET", address)[1]
        page.locator(f"#{side} img").click()
        at_question(page, number + 1)
        vote = lines(votes)[-1]
        assert vote["choice"] == side
        chosen = next(folder for folder in folders if folder.name == vote[side])
        assert (chosen / f"{vote['picture']}.jpg").read_bytes() == shown
    page.get_by_role("button", name="No difference").click()
    at_question(page, 5)
    assert lines(votes)[-1]["choice"] == "none"


def test_a_reload_goes_on_where_it_was(opened: Opened, shots: Path) -> None:
    page = opened("anna")
    page.keyboard.press("ArrowLeft")
    at_question(page, 2)
    page.keyboard.press("ArrowRight")
    at_question(page, 3)
    sources = "() => [...document.querySelectorAll('img')].map(image => image.src)"
    before = page.evaluate(sources)
    page.reload()
    at_question(page, 3)
    assert page.evaluate(sources) == before
    assert page.locator("#progress").evaluate("bar => bar.value / bar.max") == pytest.approx(2 / 6)
    page.screenshot(path=shots / "question-3.png")


def test_the_last_answer_can_be_changed(opened: Opened, votes: Path, shots: Path) -> None:
    page = opened("anna")
    expect(page.get_by_role("button", name="Back")).to_be_disabled()
    page.keyboard.press("ArrowLeft")
    at_question(page, 2)
    page.keyboard.press("Backspace")
    at_question(page, 1)
    expect(page.locator("#left")).to_have_attribute("aria-pressed", "true")
    page.screenshot(path=shots / "changing.png")
    page.keyboard.press("ArrowRight")
    at_question(page, 2)
    expect(page.locator("[aria-pressed=true]")).to_have_count(0)
    page.get_by_role("button", name="Back").click()
    at_question(page, 1)
    expect(page.locator("#right")).to_have_attribute("aria-pressed", "true")
    assert [line["choice"] for line in lines(votes)] == ["left", "right"]
    assert len({line["picture"] + line["left"] + line["right"] for line in lines(votes)}) == 1


def test_two_voters_at_once_do_not_meet(opened: Opened, votes: Path) -> None:
    anna, ben = opened("anna"), opened("ben")
    for number in range(1, 7):
        for page, key in ((anna, "ArrowLeft"), (ben, "ArrowRight")):
            at_question(page, number)
            page.keyboard.press(key)
    for page in (anna, ben):
        expect(page.get_by_role("heading", name="That was all. Thank you!")).to_be_visible()
    for voter, choice in (("anna", "left"), ("ben", "right")):
        own = [line for line in lines(votes) if line["voter"] == voter]
        assert [line["choice"] for line in own] == [choice] * 6
        assert len({(line["picture"], frozenset((line["left"], line["right"]))) for line in own}) == 6


@pytest.mark.parametrize(
    "size",
    [DESKTOP, PHONE, {"width": 320, "height": 568}, {"width": 844, "height": 390}],
    ids=lambda size: f"{size['width']}x{size['height']}",
)
def test_all_fits_the_screen_and_both_results_are_equally_large(
    opened: Opened, shots: Path, size: dict[str, int]
) -> None:
    """A wide and a tall picture: nothing to scroll, nothing over a picture, no picture out of shape."""
    page = opened("anna", viewport=size, has_touch=size["width"] < 1000, is_mobile=size["width"] < 1000)
    seen = set()
    for number in range(1, 7):
        at_question(page, number)
        page.mouse.move(1, 1)
        pictures = [box(page.locator(f"#{side} img")) for side in ("composite", "left", "right")]
        shape = page.locator("#left img").evaluate("image => image.naturalWidth / image.naturalHeight")
        for left, top, width, height in pictures:
            assert left >= 0
            assert left + width <= size["width"] + 0.5
            assert box(page.locator("header"))[1] + box(page.locator("header"))[3] <= top + 0.5
            assert top + height <= box(page.locator("footer"))[1] + 0.5
            assert width / height == pytest.approx(shape, rel=0.01)
        assert pictures[1][2:] == pytest.approx(pictures[2][2:])
        for one, other in ((0, 1), (0, 2), (1, 2)):
            (left, top, width, height), (left_2, top_2, width_2, height_2) = pictures[one], pictures[other]
            apart = (
                left + width <= left_2 or left_2 + width_2 <= left or top + height <= top_2 or top_2 + height_2 <= top
            )
            assert apart
        scrolled = "() => [document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
        assert page.evaluate(scrolled) == [size["width"], size["height"]]
        kind = WIDE if shape > 1 else TALL
        if kind not in seen:
            page.screenshot(path=shots / f"{kind}-{size['width']}x{size['height']}.png")
        seen.add(kind)
        page.keyboard.press("ArrowLeft")
    assert seen == {WIDE, TALL}


def test_a_finger_votes_on_a_phone(opened: Opened, votes: Path, shots: Path) -> None:
    page = opened(viewport=PHONE, has_touch=True, is_mobile=True, device_scale_factor=2)
    page.screenshot(path=shots / "welcome-phone.png")
    expect(page.get_by_text("Tap the picture.")).to_be_visible()
    page.locator("#name").fill("anna")
    page.get_by_role("button", name="Begin").tap()
    at_question(page, 1)
    page.locator("#right img").tap()
    at_question(page, 2)
    page.get_by_role("button", name="No difference").tap()
    at_question(page, 3)
    page.screenshot(path=shots / "question-phone.png")
    assert [line["choice"] for line in lines(votes)] == ["right", "none"]


def test_the_surround_is_neutral(opened: Opened, tmp_path: Path) -> None:
    """Every pixel that is not a picture's is gray: red, green and blue are equal."""
    page = opened("anna")
    page.evaluate("() => document.querySelectorAll('img').forEach(image => image.style.visibility = 'hidden')")
    for view in ("question", "welcome"):
        page.screenshot(path=tmp_path / f"{view}.png")
        pixels = np.asarray(Image.open(tmp_path / f"{view}.png").convert("RGB")).astype(int)
        assert np.ptp(pixels, axis=2).max() == 0
        assert 100 <= np.median(pixels) <= 130
        page.goto(page.url.partition("#")[0])
        page.reload()
        expect(page.locator("#welcome")).to_be_visible()


def test_the_next_pictures_are_there_before_they_are_asked_for(opened: Opened, study: RunningStudy) -> None:
    page = opened("anna")
    page.wait_for_load_state("networkidle")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.keyboard.press("ArrowLeft")
    at_question(page, 2)
    coming = study.fetch_trials("anna")[1]
    assert page.locator("#left img").evaluate("image => new URL(image.src).pathname") == coming["left"]
    assert not any(url.endswith(coming[side]) for url in asked for side in ("composite", "left", "right"))


def test_a_vote_that_was_not_kept_is_told_and_can_be_sent_again(opened: Opened, votes: Path, shots: Path) -> None:
    page = opened("anna")
    page.context.set_offline(True)
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("alert")).to_contain_text("The study does not respond.")
    page.keyboard.press("ArrowRight")  # is not taken meanwhile
    page.screenshot(path=shots / "trouble.png")
    assert lines(votes) == []
    page.context.set_offline(False)
    page.get_by_role("button", name="Try again").click()
    at_question(page, 2)
    assert [line["choice"] for line in lines(votes)] == ["left"]


def pictures_of(study: RunningStudy, voter: str, *questions: int) -> set[str]:
    """Addresses of all that a voter's questions show."""
    trials = study.fetch_trials(voter)
    return {trials[number][side] for number in questions for side in ("composite", "left", "right")}


def test_a_study_that_was_started_again_goes_on(
    opened: Opened, study: RunningStudy, folders: list[Path], votes: Path
) -> None:
    """Its pictures have other addresses then; the questions are the same."""
    # Questions are drawn anew for each voter: of this one, the fourth shows a picture that the browser has not seen.
    voter = next(
        name for name in map(str, range(100)) if pictures_of(study, name, 3) - pictures_of(study, name, 0, 1, 2)
    )
    page = opened(voter)
    page.keyboard.press("ArrowLeft")
    at_question(page, 2)
    page.wait_for_load_state("networkidle")
    study.end()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("alert")).to_contain_text("The study does not respond.")
    with RunningStudy(folders, votes, study.port) as again:
        page.get_by_role("button", name="Try again").click()
        at_question(page, 3)
        page.keyboard.press("ArrowRight")
        expect(page.get_by_role("alert")).to_contain_text("A picture could not be loaded.")
        page.get_by_role("button", name="Try again").click()
        at_question(page, 4)
        assert [trial["choice"] for trial in again.fetch_trials(voter)] == ["left", "right", "right", None, None, None]
