// Asks the voter one question after the other. The server knows the questions, their order and what was answered.
"use strict";

const COMPOSITE_SHARE = 0.5; // of a result's width at least, where it does not stand in a row with them
const SHOWN_CHOICE_MS = 180;
const KEYS = { ArrowLeft: "left", ArrowUp: "left", ArrowRight: "right", ArrowDown: "right", n: "none", N: "none" };
const SIDES = ["composite", "left", "right"];

const at = (id) => document.getElementById(id);

let voter = "";
let trials = [];
let current = 0;
let ready = false; // the question is on the screen and not yet answered; only `wait` changes it
let retry = null;
const loaded = new Map(); // trial -> promise of its three pictures

// The voter's name stands in the address: a reload goes on, and each tab may have a voter of its own.
function readName() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return "";
  }
}

function view(name) {
  for (const id of ["welcome", "question", "finished"]) at(id).hidden = id !== name;
}

function wait(busy) {
  ready = !busy;
  at("stage").setAttribute("aria-busy", String(busy));
}

function showError(message, again) {
  at("message").textContent = message;
  retry = again;
  at("trouble").hidden = false;
  at("again").focus();
}

async function ask(address, options) {
  let answer;
  try {
    answer = await fetch(address, options);
  } catch {
    throw new Error("The study does not respond. Is it still running? Your answers so far are saved.");
  }
  if (!answer.ok) throw new Error(await answer.text());
  return answer;
}

async function begin() {
  wait(true);
  at("trouble").hidden = true;
  const name = readName();
  voter = name;
  if (!voter) {
    view("welcome");
    at("name").focus();
    return;
  }
  let answer;
  try {
    answer = await (await ask(`/trials?voter=${encodeURIComponent(name)}`)).json();
  } catch (error) {
    view("welcome");
    showError(error.message, begin);
    return;
  }
  if (voter !== name) return; // another name was given meanwhile
  trials = answer.trials;
  loaded.clear();
  await next();
}

async function next() {
  const unanswered = trials.findIndex((trial) => trial.choice === null);
  if (unanswered >= 0) return show(unanswered);
  current = trials.length;
  wait(true);
  at("total").textContent = trials.length;
  view("finished");
}

function load(number) {
  if (!loaded.has(number)) {
    const pictures = SIDES.map(async (side) => {
      const image = new Image();
      image.alt = { composite: "Composite", left: "First result", right: "Second result" }[side];
      image.draggable = false;
      image.src = trials[number][side];
      await image.decode();
      return image;
    });
    const all = Promise.all(pictures);
    all.catch(() => loaded.delete(number)); // to be tried again
    loaded.set(number, all);
  }
  return loaded.get(number);
}

async function show(number) {
  current = number;
  wait(true);
  let images;
  try {
    images = await load(number);
  } catch {
    showError("A picture could not be loaded.", begin); // the study may have been started anew, with other addresses
    return;
  }
  if (number !== current) return; // the voter was faster
  SIDES.forEach((side, place) => at(side).querySelector(".picture").replaceChildren(images[place]));
  mark(trials[number].choice);
  at("count").textContent = `${number + 1} of ${trials.length}`;
  at("progress").max = trials.length;
  at("progress").value = trials.filter((trial) => trial.choice !== null).length;
  at("back").disabled = number === 0;
  view("question");
  fit();
  wait(false);
  for (const known of loaded.keys()) if (Math.abs(known - number) > 2) loaded.delete(known);
  if (number + 1 < trials.length) load(number + 1).catch(() => {}); // show() reports the error
}

function mark(choice) {
  for (const id of ["left", "right", "none"]) at(id).setAttribute("aria-pressed", String(id === choice));
}

async function vote(choice) {
  if (!ready) return;
  wait(true);
  const number = current;
  mark(choice);
  const seen = new Promise((done) => setTimeout(done, SHOWN_CHOICE_MS));
  try {
    await ask("/votes", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ voter, trial: number, choice }),
    });
  } catch (error) {
    showError(error.message, () => { wait(false); return vote(choice); });
    return;
  }
  trials[number].choice = choice;
  await seen;
  await next();
}

function back() {
  if (current > 0 && (ready || current === trials.length)) show(current - 1);
}

// The arrangement in which the results are largest: all three in a row, the composite above the two, or one below the
// other. Side by side is easier to compare, so that a later one must be larger by a tenth.
function fit() {
  const image = at("composite").querySelector("img");
  if (at("question").hidden || !image) return;
  const stage = at("stage");
  const gap = parseFloat(getComputedStyle(stage).columnGap);
  const caption = at("composite").querySelector("figcaption").offsetHeight;
  const { clientWidth: width, clientHeight: height } = stage;
  const aspect = image.naturalWidth / image.naturalHeight;
  const room = (rows) => height - (rows - 1) * gap - rows * caption; // for pictures one below the other
  const widths = {
    row: Math.min((width - 2 * gap) / 3, room(1) * aspect),
    above: Math.min((width - gap) / 2, (room(2) / (1 + COMPOSITE_SHARE)) * aspect),
    column: Math.min(width, (room(3) / (2 + COMPOSITE_SHARE)) * aspect),
  };
  const [name] = Object.entries(widths).reduce((best, one) => (one[1] > 1.1 * best[1] ? one : best));
  const fitted = Math.max(80, Math.floor(widths[name]));
  const left = { row: 1, above: (room(2) * aspect) / fitted - 1, column: (room(3) * aspect) / fitted - 2 }[name];
  const scale = Math.min(1, Math.max(COMPOSITE_SHARE, left));
  stage.className = name;
  at("left").querySelector("kbd").textContent = name === "column" ? "↑" : "←";
  at("right").querySelector("kbd").textContent = name === "column" ? "↓" : "→";
  const sizes = { width: fitted, height: fitted / aspect, "composite-width": fitted * scale, "composite-height": (fitted * scale) / aspect };
  for (const [property, size] of Object.entries(sizes)) stage.style.setProperty(`--${property}`, `${size}px`);
}

at("name-form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (at("name").value.trim()) location.hash = encodeURIComponent(at("name").value.trim());
});
for (const id of ["left", "right", "none"]) at(id).addEventListener("click", () => vote(id));
at("back").addEventListener("click", back);
at("reconsider").addEventListener("click", back);
at("again").addEventListener("click", () => { at("trouble").hidden = true; retry(); });
document.addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.altKey || event.metaKey || at("welcome").hidden === false) return;
  if (!at("trouble").hidden) return;
  if (event.key === "Backspace") back();
  else if (event.key in KEYS && !at("question").hidden) vote(KEYS[event.key]);
  else return;
  event.preventDefault();
});
addEventListener("hashchange", begin);
new ResizeObserver(fit).observe(at("stage"));
begin();
