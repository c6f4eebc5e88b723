// The generated text, and the choice of what its colors mean: surprisal, a hidden unit, or nothing.

import { features } from "./api.js";
import { announce, element } from "./dom.js";
import { count } from "./format.js";
import * as problems from "./problems.js";
import { legend, tokenOf } from "./surprisal.js";
import { tellTokens } from "./tokens.js";
import { hasUnits, rangeOf, unitLegend, unitTokens } from "./units.js";

const STEPS = { n: 1, p: -1 }; // keys in the text, and the step to another unit
const kept = { by: "surprisal", unit: 0 }; // kept when the model changes

/**
 * Show the text of a section, `.written`, and the controls of its colors.
 *
 * Return functions: `begin` with a prompt, `add` a token, `end`, `text` of what is shown, `tell` words below the text,
 * and `close`.
 * @param {string} first the token that a text without a prompt begins after
 */
export function showColoring(section, model, { first, backwards }) {
  const find = (selector) => section.querySelector(selector);
  const [written, told, problem, about] = [".written", ".told", ".color-problem", ".legend"].map(find);
  const [by, chooser, number] = [".color-by", ".unit-chooser", ".unit-number"].map(find);
  let [prompt, tokens, ended, size] = ["", [], false, 0];
  let asked = new AbortController();

  const tell = (words) => (told.textContent = words);
  const ordered = (before, generated) => (backwards ? [...generated, before] : [before, ...generated]);
  const joined = (before) => ordered(before, tokens.map(({ text }) => text)).join("");

  function begin(text) {
    [prompt, tokens, ended] = [text, [], false];
    show();
  }

  function add(token) {
    tokens.push(token);
    if (backwards) written.lastChild.before(tokenOf(token));
    else written.append(tokenOf(token));
  }

  function end() {
    ended = true;
    if (by.value === "unit") show();
  }

  /** Show the text in its colors. The values of a hidden unit are computed once the text is complete. */
  function show() {
    asked.abort();
    problems.show(problem);
    chooser.hidden = by.value !== "unit";
    written.classList.toggle("colored", by.value === "surprisal");
    if (by.value === "unit" && ended && tokens.length) return void showUnit();
    about.hidden = by.value !== "surprisal";
    if (!about.hidden) showLegend("surprisal", legend());
    const beginning = element("span", { class: "prompt" }, prompt);
    written.replaceChildren(...ordered(beginning, tokens.map(tokenOf)));
  }

  async function showUnit() {
    asked = new AbortController();
    const [{ signal }, channel] = [asked, Number(number.value)];
    try {
      const answer = await features({ model: model.name, input: joined(prompt || first), channel }, signal);
      if (signal.aborted) return;
      const [values] = answer.features;
      size = answer.size;
      number.max = size - 1;
      const spans = unitTokens(answer.tokens, values);
      const given = Math.max(spans.length - tokens.length, 0); // tokens of the prompt
      const start = backwards ? tokens.length : 0;
      for (const span of spans.slice(start, start + given)) span.classList.add("prompt");
      written.replaceChildren(...spans);
      find(".unit-range").textContent = `Unit ${channel} (0 to ${count(size - 1)}): ${rangeOf(values)} in this text.`;
      showLegend("unit", unitLegend(values));
      announce(find(".unit-range").textContent);
    } catch (error) {
      if (!signal.aborted) problems.show(problem, error, show);
    }
  }

  function showLegend(name, steps) {
    for (const words of about.querySelectorAll("p")) words.hidden = !words.classList.contains(`about-${name}`);
    about.querySelector("ol").replaceChildren(...steps);
    about.hidden = false;
  }

  function choose(unit) {
    number.value = size ? (unit + size) % size : Math.max(unit, 0);
    kept.unit = Number(number.value);
    show();
  }

  const possible = hasUnits(model);
  find(".no-units").hidden = possible;
  find(".color-by [value=unit]").disabled = !possible;
  by.value = kept.by === "unit" && !possible ? "surprisal" : kept.by;
  number.value = kept.unit;
  by.addEventListener("change", () => {
    kept.by = by.value;
    show();
  });
  number.addEventListener("input", () => number.checkValidity() && choose(Number(number.value)));
  find(".previous").addEventListener("click", () => choose(Number(number.value) - 1));
  find(".next").addEventListener("click", () => choose(Number(number.value) + 1));
  written.addEventListener("keydown", ({ key, ctrlKey, altKey, metaKey }) => {
    if (by.value !== "unit" || !STEPS[key] || ctrlKey || altKey || metaKey) return;
    choose(Number(number.value) + STEPS[key]);
  });
  tellTokens(written, (words) => {
    tell(words);
    if (written.matches(":focus")) announce(words);
  });
  show();
  return { begin, add, end, tell, text: () => joined(prompt), close: () => asked.abort() };
}
