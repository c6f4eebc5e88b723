// Pictures to answer: dropped, pasted or chosen. They stay when another model is chosen.

import { Problem, predict } from "./api.js";
import { announce, copyOf, element, facts } from "./dom.js";
import { metric, percent, words } from "./format.js";
import { showInside } from "./inside.js";
import * as problems from "./problems.js";

/** @type {{file: File, url: string}[]} */
let pictures = [];
let selected = null;

/** Show the view of a model that takes pictures; return what ends it. */
export function showPictures(place, model) {
  place.append(copyOf("pictures-view"));
  const find = (selector) => place.querySelector(selector);
  const [strip, problem, answer, answers] = [".strip", ".problem", ".answer", ".answers"].map(find);
  const [zone, chooser, top] = [".drop", "input[type=file]", ".top-k"].map(find);
  const section = find(".inside");
  const inside = model.analyzers.length
    ? showInside(section, model, () => selected.file, { eager: true })
    : section.remove();
  let rows = new Map(); // the answer to each picture
  let answering = false;
  const left = new AbortController();
  const { signal } = left;

  const most = model.classes.length;
  if (most) Object.assign(top, { max: most, value: Math.min(5, most) });
  else top.parentElement.remove();

  function add(files) {
    const added = [...files].map((file) => ({ file, url: URL.createObjectURL(file) }));
    if (!added.length) return;
    pictures.push(...added);
    select(added[0]);
  }

  function clear() {
    for (const { url } of pictures) URL.revokeObjectURL(url);
    [pictures, selected] = [[], null];
    inside?.close();
    showStrip();
    show();
    chooser.focus();
  }

  function select(picture) {
    selected = picture;
    showStrip();
    show();
    if (!rows.has(picture)) answerAll();
    else if (rows.get(picture).error === null) inside?.look();
  }

  /** Ask for the answer to each picture that has none, one after the other, the selected one first. */
  async function answerAll() {
    if (answering) return;
    answering = true;
    try {
      for (let picture = unanswered(); picture; picture = unanswered()) {
        const [answered, { file }] = [rows, picture];
        answered.set(picture, await predict({ model: model.name, input: file, top: wanted() }, signal));
        if (picture === selected && rows.has(picture)) select(picture);
        else showStrip();
      }
    } catch (error) {
      if (!signal.aborted) problems.show(problem, error, answerAll);
    } finally {
      answering = false;
    }
  }

  const unanswered = () => [selected, ...pictures].find((picture) => picture && !rows.has(picture));
  const wanted = () => (most ? Number(top.value) : null);

  function showStrip() {
    strip.hidden = !pictures.length;
    const focused = [...strip.querySelectorAll("button")].indexOf(document.activeElement);
    const items = pictures.map((picture) => {
      const { file, url } = picture;
      const row = rows.get(picture);
      const said = row?.error ? "unreadable" : (row?.answers[0]?.class ?? "…");
      const image = element("img", { src: url, alt: "", onerror: () => image.replaceWith(element("i", {}, "?")) });
      const names = [element("span", {}, file.name), element("span", { class: "muted" }, said)];
      const look = { type: "button", "aria-pressed": String(picture === selected), onclick: () => select(picture) };
      return element("li", {}, element("button", look, image, ...names));
    });
    items.push(element("li", {}, element("button", { type: "button", class: "clear", onclick: clear }, "Clear")));
    strip.replaceChildren(...items);
    strip.querySelectorAll("button")[focused]?.focus();
  }

  /** Show the answer to the selected picture, or why there is none. */
  function show() {
    const row = rows.get(selected);
    problems.show(problem, row?.error ? new Problem(row.error) : null);
    answer.hidden = !row || row.error !== null;
    if (answer.hidden) return;
    answers.replaceChildren(...answersOf(row));
    const [first] = row.answers;
    if (first?.class) announce(`${row.input}: ${first.class}, ${percent(first.probability)}`);
  }

  top.addEventListener("change", () => {
    if (!top.reportValidity()) return;
    rows = new Map();
    answerAll();
  });
  chooser.addEventListener("change", () => {
    add(chooser.files);
    chooser.value = "";
  });
  listen({ zone, add, signal });
  if (selected) select(selected);
  return () => {
    left.abort();
    inside?.close();
  };
}

/** Let files be dropped anywhere on the page, and pasted. */
function listen({ zone, add, signal }) {
  const on = (name, listener) => document.addEventListener(name, listener, { signal });
  const over = (yes) => zone.classList.toggle("over", yes);
  on("dragover", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    over(true);
  });
  on("dragleave", (event) => over(event.relatedTarget !== null));
  on("drop", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    over(false);
    add(event.dataTransfer.files);
  });
  on("paste", (event) => add(event.clipboardData.files));
}

/** Return what a row answers: bars for probabilities, a list for anything else. */
function answersOf({ input, answers }) {
  if (!answers.every((one) => "class" in one && "probability" in one)) {
    return answers.map((one) => facts(Object.entries(one).map(([key, value]) => [words(key), plain(value)])));
  }
  const rows = answers.map(({ class: name, probability }) => {
    const bar = element("i", { "aria-hidden": "true" });
    bar.style.setProperty("--share", probability);
    const number = element("td", {}, bar, element("span", {}, percent(probability)));
    return element("tr", {}, element("th", { scope: "row" }, name), number);
  });
  const caption = element("caption", { class: "small muted" }, input);
  return [element("table", { class: "bars" }, caption, element("tbody", {}, ...rows))];
}

const plain = (value) => (typeof value === "number" ? metric(value) : String(value));
