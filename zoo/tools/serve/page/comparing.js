// Texts that continue one prompt at several temperatures and values of top-p, in a table.

import { sample } from "./api.js";
import { announce, element } from "./dom.js";
import * as problems from "./problems.js";

const MOST = 4; // rows, and columns
const RANGES = { temperatures: [0, 2], top_ps: [0.01, 1] };

/**
 * Fill the section; return a function that closes it.
 * @param {() => ?object} settings the settings that all texts share; null if one of them is invalid
 */
export function showComparing(section, settings) {
  const find = (selector) => section.querySelector(selector);
  const [form, problem, place, progress] = ["form", ".problem", ".texts", ".progress"].map(find);
  const [start, stop] = [".compare", ".stop"].map(find);
  let asked = new AbortController();

  const fields = Object.keys(RANGES).map((name) => form.elements[name]);
  const check = () => {
    for (const field of fields) field.setCustomValidity(wrong(field));
  };

  async function compare() {
    check();
    const shared = form.reportValidity() ? settings() : null;
    if (!shared) return;
    asked.abort();
    asked = new AbortController();
    const { signal } = asked;
    const [temperatures, topPs] = fields.map(numbersOf);
    const { table, cells } = tableOf(temperatures, topPs);
    place.replaceChildren(table);
    problems.show(problem);
    working(true);
    announce("Generating texts.");
    try {
      for (const [number, { cell, ...chosen }] of cells.entries()) {
        progress.textContent = `Text ${number + 1} of ${cells.length}`;
        const length = { max_new_tokens: Number(form.elements.length_of_each.value) };
        for await (const item of sample({ ...shared, ...length, ...chosen }, signal)) {
          if (!item.done) cell.append(item.text);
        }
        signal.throwIfAborted();
      }
    } catch (error) {
      problems.show(problem, error, compare);
    }
    if (asked.signal !== signal) return; // other texts have begun
    working(false);
    progress.textContent = signal.aborted ? "Stopped." : `${cells.length} texts with seed ${shared.seed}.`;
    announce(progress.textContent);
  }

  function working(yes) {
    const [before, after] = yes ? [start, stop] : [stop, start];
    const move = document.activeElement === before; // a disabled element loses the focus
    start.disabled = yes;
    stop.disabled = !yes;
    place.setAttribute("aria-busy", String(yes));
    if (move) after.focus();
  }

  form.addEventListener("input", check);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    compare();
  });
  stop.addEventListener("click", () => asked.abort());
  return () => asked.abort();
}

const numbersOf = ({ value }) => value.split(/[\s,;]+/).filter(Boolean).map(Number);

/** Return what is wrong with the numbers in a field; empty if nothing is. */
function wrong(field) {
  const [numbers, [least, most]] = [numbersOf(field), RANGES[field.name]];
  const possible = numbers.every((number) => number >= least && number <= most);
  if (possible && numbers.length && numbers.length <= MOST) return "";
  return `Enter 1 to ${MOST} numbers from ${least} to ${most}, separated by commas.`;
}

/** Return an empty table with a column for each top-p and a group of rows for each temperature, and its cells. */
function tableOf(temperatures, topPs) {
  const cells = [];
  const columns = topPs.map((top_p) => element("th", { scope: "col" }, `top-p ${top_p}`));
  const groups = temperatures.map((temperature) => {
    const heading = element("th", { scope: "rowgroup", colspan: topPs.length }, `temperature ${temperature}`);
    const texts = topPs.map((top_p) => {
      const cell = element("td");
      cells.push({ cell, temperature, top_p });
      return cell;
    });
    return element("tbody", {}, element("tr", {}, heading), element("tr", {}, ...texts));
  });
  return { table: element("table", {}, element("thead", {}, element("tr", {}, ...columns)), ...groups), cells };
}
