// Language models: text generation, texts beside each other, and scoring of the user's text.

import { predict } from "./api.js";
import { showComparing } from "./comparing.js";
import { announce, copyOf, element, facts } from "./dom.js";
import { measured } from "./format.js";
import { showInside } from "./inside.js";
import * as problems from "./problems.js";
import { showWriting } from "./writing.js";

let kept = {}; // the values of the forms, kept when the model changes

/** Show the view of a model that accepts text; return a function that closes it. */
export function showText(place, model) {
  const view = copyOf("text-view");
  const sections = [".sampling", ".comparing", ".scoring"].map((selector) => view.querySelector(selector));
  const [sampling, comparing, scoring] = sections;
  const forms = [...view.querySelectorAll(".sample-form, .compare-form, .score-form")];
  for (const form of forms) restore(form);
  place.append(view);
  const ends = [showReading(scoring, model)];
  if (model.samples) {
    const { settings, close } = showWriting(sampling, model);
    ends.push(close, showComparing(comparing, settings));
  } else {
    sampling.remove();
    comparing.remove();
  }
  return () => {
    for (const form of forms) kept = { ...kept, ...Object.fromEntries(new FormData(form)) };
    for (const end of ends) end();
  };
}

function restore(form) {
  for (const [name, value] of Object.entries(kept)) {
    const control = form.elements.namedItem(name); // elements.length is something else
    if (control) control.value = value;
  }
}

function showReading(section, model) {
  const find = (selector) => section.querySelector(selector);
  const [form, problem, scores, inside] = ["form", ".problem", ".scores", ".inside"].map(find);
  const asked = new AbortController();
  const read = () => (form.reportValidity() ? form.elements.text.value : null);
  const looking = model.analyzers.length ? showInside(inside, model, read, { eager: false }) : inside.remove();

  async function score() {
    problems.show(problem);
    try {
      const { predictions, error } = await predict({ model: model.name, input: form.elements.text.value }, asked.signal);
      const rows = predictions.flatMap(Object.entries).map(([name, value]) => measured(name, value, model.units));
      scores.replaceChildren(error ? element("p", {}, error) : facts(rows, "metrics"));
      announce(error ?? rows.map((row) => row.join(" ")).join(", "));
    } catch (error) {
      if (!asked.signal.aborted) problems.show(problem, error, score);
    }
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    score();
  });
  return () => {
    asked.abort();
    looking?.close();
  };
}
