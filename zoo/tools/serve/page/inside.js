// Look inside a model: a form with its analyzers and their options, and the findings of an analyzer for an input.

import { analyze } from "./api.js";
import { announce, copyOf, element, facts } from "./dom.js";
import { showPage, textOf } from "./figures.js";
import { digits, measured, percent, words } from "./format.js";
import { showHeat } from "./heat.js";
import { showTerms } from "./terms.js";
import * as problems from "./problems.js";

const FIRST = "grad-cam"; // the default method, if the model supports it
const SUM = "cam"; // the method whose map is a weighted sum of feature maps
let method = FIRST; // kept for the next model

/**
 * Fill a section with the form. Return functions that run the analyzer, `look`, and stop it, `close`.
 * @param {() => ?(File|string)} input the input to analyze; null if no input is chosen yet
 * @param {boolean} eager whether a change in the form runs the analyzer immediately, without a button
 */
export function showInside(section, model, input, { eager }) {
  section.append(copyOf("inside-view"));
  const find = (selector) => section.querySelector(selector);
  const [form, place, found] = ["form", ".problem", ".found"].map(find);
  const { analyzer: select, class: classes, layer } = form.elements;
  let asked = new AbortController();

  select.append(...model.analyzers.map(({ name }) => element("option", { value: name }, name)));
  select.value = model.analyzers.some(({ name }) => name === method) ? method : model.analyzers[0].name;
  classes.append(element("option", { value: "" }, "predicted"));
  classes.append(...model.classes.map((name) => element("option", { value: name }, name)));
  find("#layers").append(...model.landmarks.map((name) => element("option", { value: name })));
  find(".look").hidden = eager;

  const chosen = () => model.analyzers.find(({ name }) => name === select.value);
  const choose = () => {
    const { summary, ignores, takes_layer: takesLayer, options } = chosen();
    find("#method-summary").textContent = summary;
    find(".class").hidden = !model.classes.length || ignores.includes("class");
    find(".layer").hidden = !takesLayer;
    const fields = options.map(field);
    find(".options .fields").replaceChildren(layer.parentElement, ...fields);
    find(".options").hidden = !takesLayer && !fields.length;
  };

  async function look() {
    if (!form.checkValidity()) find(".options").open = true;
    const given = input();
    if (given === null || !form.reportValidity()) return;
    asked.abort();
    asked = new AbortController();
    const { signal } = asked;
    const { name, ignores, takes_layer: takesLayer, options } = chosen();
    const values = changed(form, options);
    problems.show(place);
    found.setAttribute("aria-busy", "true");
    try {
      const answer = await analyze(
        {
          model: model.name,
          input: given,
          analyzer: name,
          classes: classes.value && !ignores.includes("class") ? [classes.value] : [],
          layer: takesLayer ? layer.value.trim() : "",
          options: values,
        },
        signal,
      );
      const parts = await shown(answer, model, name, given);
      if (name === SUM && model.landmarks.includes("mean_head") && !values.flips) {
        parts.push(await showTerms({ model, input: given, image: answer.image, name: answer.items[0].map_of }, signal));
      }
      if (signal.aborted) return;
      found.replaceChildren(...parts);
      announce(`${name} is done.`);
    } catch (error) {
      if (signal.aborted) return;
      found.replaceChildren();
      problems.show(place, error, look);
    } finally {
      if (!signal.aborted) found.removeAttribute("aria-busy");
    }
  }

  choose();
  select.addEventListener("change", () => {
    method = select.value;
    choose();
  });
  if (eager) form.addEventListener("change", look);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!eager) look();
  });
  return { look, close: () => asked.abort() };
}

/** Return the labeled control of an option. */
function field({ name, type, default: value, choices, minimum, maximum, help }) {
  const [id, about] = [`option-${name}`, `about-${name}`];
  const named = { id, name: id, "aria-describedby": about };
  let control;
  if (type === "bool") control = element("input", { ...named, type: "checkbox", checked: value });
  else if (type === "choice") {
    const options = choices.map((one) => element("option", { value: one, selected: one === value }, String(one)));
    control = element("select", named, ...options);
  } else if (type === "other") {
    control = element("input", { ...named, value: JSON.stringify(value) });
    help = `${help} (JSON)`.trim();
  } else {
    const number = { type: "number", min: minimum, max: maximum, step: type === "int" ? 1 : "any", required: true };
    control = element("input", { ...named, ...(type === "str" ? {} : number), value });
  }
  const label = element("label", { for: id }, words(name));
  const line = type === "bool" ? element("span", { class: "check" }, control, label) : [label, control];
  return element("div", { class: "field" }, ...[line].flat(), element("small", { id: about, class: "muted" }, help));
}

/** Return the options that differ from their defaults. */
function changed(form, options) {
  const values = {};
  for (const { name, type, default: value, choices } of options) {
    const control = form.elements[`option-${name}`];
    if (!control) continue;
    let now = control.value;
    if (type === "bool") now = control.checked;
    else if (type === "choice") now = choices.find((one) => String(one) === now);
    else if (type === "other") now = ofJSON(now);
    else if (type !== "str") now = Number(now);
    if (JSON.stringify(now) !== JSON.stringify(value)) values[name] = now;
  }
  return values;
}

/** Return the value of JSON text, and any other text unchanged. */
function ofJSON(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** Return the elements that show a response: maps over the image, figures, scores. */
async function shown({ items, image, figures, scores }, model, name, input) {
  const title = `${name} of ${input.name ?? "the text"}`;
  const maps = items.map((item) => {
    const what = `evidence for ${item.map_of}`;
    const probability = Number.isFinite(item.probability) ? ` (${percent(item.probability)})` : "";
    const peak = `highest value ${digits(item.peak, 3)}`;
    return showHeat(image, item.map, {
      label: `${title}: ${what}, ${peak}`,
      caption: `${what[0].toUpperCase()}${what.slice(1)}${probability}, ${peak}`,
    });
  });
  const rows = Object.entries(scores).map(([key, value]) => measured(key, value, model.units));
  const drawn = Object.entries(figures).map(([file, url]) => {
    if (url.startsWith("data:text/html")) return showPage(textOf(url), title);
    if (url.startsWith("data:image/")) return element("img", { class: "drawn", src: url, alt: title });
    return element("a", { href: url, download: file }, file);
  });
  const parts = [...(await Promise.all(maps)), ...(rows.length ? [facts(rows, "metrics")] : []), ...drawn];
  return parts.length ? parts : [element("p", {}, "This method returned no results for the input.")];
}
