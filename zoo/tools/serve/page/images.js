// Images to classify, or other files: dropped, pasted or chosen. They are kept when a different model is chosen.

import { predict } from "./api.js";
import { announce, copyOf, element, facts } from "./dom.js";
import { metric, percent, words } from "./format.js";
import { showInside } from "./inside.js";
import { Problem } from "./problem.js";
import * as problems from "./problems.js";

/** @type {{file: File, url: string}[]} */
let images = [];
let selected = null;

/** Show the view of a model that accepts images; return a function that closes it. */
export function showImages(place, model) {
  place.append(copyOf("images-view"));
  const find = (selector) => place.querySelector(selector);
  const [strip, problem, answer, listed] = [".strip", ".problem", ".answer", ".predictions"].map(find);
  const [zone, chooser, top] = [".drop", "input[type=file]", ".top-k"].map(find);
  const section = find(".inside");
  const inside = model.analyzers.length
    ? showInside(section, model, () => selected.file, { eager: true })
    : section.remove();
  let rows = new Map(); // the prediction for each image
  let answering = false;
  const left = new AbortController();
  const { signal } = left;

  if (model.takes === "file") {
    chooser.removeAttribute("accept");
    chooser.nextSibling.textContent = " Choose files";
    find("h2").textContent = "Try it on a file";
    find(".drop p").textContent = "Drop files here, or";
  }
  const most = model.classes.length;
  if (most) Object.assign(top, { max: most, value: Math.min(5, most) });
  else top.parentElement.remove();

  function add(files) {
    const added = [...files].map((file) => ({ file, url: URL.createObjectURL(file) }));
    if (!added.length) return;
    images.push(...added);
    select(added[0]);
  }

  function clear() {
    for (const { url } of images) URL.revokeObjectURL(url);
    [images, selected] = [[], null];
    inside?.close();
    showStrip();
    show();
    chooser.focus();
  }

  function select(image) {
    selected = image;
    showStrip();
    show();
    if (!rows.has(image)) answerAll();
    else if (rows.get(image).error === null) inside?.look();
  }

  /** Request predictions for images that have none, one image at a time, starting with the selected image. */
  async function answerAll() {
    if (answering) return;
    answering = true;
    try {
      for (let image = unanswered(); image; image = unanswered()) {
        const [answered, { file }] = [rows, image];
        answered.set(image, await predict({ model: model.name, input: file, top: wanted() }, signal));
        if (image === selected && rows.has(image)) select(image);
        else showStrip();
      }
    } catch (error) {
      if (!signal.aborted) problems.show(problem, error, answerAll);
    } finally {
      answering = false;
    }
  }

  const unanswered = () => [selected, ...images].find((image) => image && !rows.has(image));
  const wanted = () => (most ? Number(top.value) : null);

  function showStrip() {
    strip.hidden = !images.length;
    const focused = [...strip.querySelectorAll("button")].indexOf(document.activeElement);
    const items = images.map((image) => {
      const { file, url } = image;
      const row = rows.get(image);
      const said = row?.error ? "unreadable" : (row?.predictions[0]?.class ?? "…");
      const thumb = element("img", { src: url, alt: "", onerror: () => thumb.replaceWith(element("i", {}, "?")) });
      const names = [element("span", {}, file.name), element("span", { class: "muted" }, said)];
      const look = { type: "button", "aria-pressed": String(image === selected), onclick: () => select(image) };
      return element("li", {}, element("button", look, thumb, ...names));
    });
    items.push(element("li", {}, element("button", { type: "button", class: "clear", onclick: clear }, "Clear")));
    strip.replaceChildren(...items);
    strip.querySelectorAll("button")[focused]?.focus();
  }

  /** Show the prediction for the selected image, or the error. */
  function show() {
    const row = rows.get(selected);
    problems.show(problem, row?.error ? new Problem(row.error) : null);
    answer.hidden = !row || row.error !== null;
    if (answer.hidden) return;
    listed.replaceChildren(...predictionsOf(row));
    const [first] = row.predictions;
    if (first?.class) announce(`${row.input}: ${first.class}, ${percent(first.probability)}`);
  }

  find(".examples").hidden = !model.examples?.length;
  find(".examples ul").append(...(model.examples ?? []).map(({ name, url }) => {
    const choose = async () => {
      try {
        add([new File([await (await fetch(url)).blob()], name)]);
      } catch {
        problems.show(problem, new Problem(`${name} could not be downloaded.`));
      }
    };
    const image = element("img", { src: url, alt: name });
    return element("li", {}, element("button", { type: "button", onclick: choose }, image));
  }));
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

/** Accept files that are dropped anywhere on the page, or pasted. */
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

/** Return the predictions of a row: bars for probabilities, a list for anything else. */
function predictionsOf({ input, predictions }) {
  if (!predictions.every((one) => "class" in one && "probability" in one)) {
    return predictions.map((one) => facts(Object.entries(one).map(([key, value]) => [words(key), plain(value)])));
  }
  const rows = predictions.map(({ class: name, probability }) => {
    const bar = element("i", { "aria-hidden": "true" });
    bar.style.setProperty("--share", probability);
    const number = element("td", {}, bar, element("span", {}, percent(probability)));
    return element("tr", {}, element("th", { scope: "row" }, name), number);
  });
  const caption = element("caption", { class: "small muted" }, input);
  return [element("table", { class: "bars" }, caption, element("tbody", {}, ...rows))];
}

const plain = (value) => (typeof value === "number" ? metric(value) : String(value));
