// Text generation, token by token, and scoring of the user's text.

import { predict, sample } from "./api.js";
import { announce, copyOf, element, facts } from "./dom.js";
import { count, digits, measured } from "./format.js";
import { showInside } from "./inside.js";
import * as problems from "./problems.js";
import { legend, tellTokens, tokenOf } from "./surprisal.js";

const NUMBERS = ["temperature", "top_p", "max_new_tokens", "top_k", "seed"];
let kept = {}; // the form's values, kept when the model changes

/** Show the view of a model that accepts text; return a function that closes it. */
export function showText(place, model) {
  const view = copyOf("text-view");
  const [writing, reading] = [".sampling", ".scoring"].map((selector) => view.querySelector(selector));
  place.append(view);
  const ends = [showReading(reading, model)];
  if (model.samples) ends.push(showWriting(writing, model));
  else writing.remove();
  return () => {
    for (const form of place.querySelectorAll(".sample-form, .score-form")) {
      kept = { ...kept, ...Object.fromEntries(new FormData(form)) };
    }
    for (const end of ends) end();
  };
}

function restore(form) {
  for (const [name, value] of Object.entries(kept)) {
    const control = form.elements.namedItem(name); // elements.length is something else
    if (control) control.value = value;
  }
}

function showWriting(section, model) {
  const find = (selector) => section.querySelector(selector);
  const [form, problem, written, told] = ["form", ".problem", ".written", ".told"].map(find);
  const [generate, stop, copy] = [".generate", ".stop", ".copy"].map(find);
  const backwards = model.card.preprocess?.backwards ?? false;
  let [text, asked] = ["", new AbortController()];

  find(".legend ol").append(...legend());
  restore(form);
  for (const slider of form.querySelectorAll("input[type=range]")) {
    const show = () => (slider.nextElementSibling.textContent = slider.value);
    slider.addEventListener("input", show);
    show();
  }
  find(".dice").addEventListener("click", () => {
    form.elements.seed.value = crypto.getRandomValues(new Uint32Array(1))[0] % 1_000_000;
  });
  const surprisal = find(".surprisal-switch");
  const color = () => {
    written.classList.toggle("colored", surprisal.checked);
    find(".legend").hidden = !surprisal.checked;
  };
  surprisal.addEventListener("change", color);
  color();
  tellTokens(written, (words) => {
    told.textContent = words;
    if (written.matches(":focus")) announce(words);
  });

  function add(token) {
    text = backwards ? token.text + text : text + token.text;
    written[backwards ? "prepend" : "append"](tokenOf(token));
  }

  async function write() {
    if (!form.reportValidity()) return;
    asked.abort();
    asked = new AbortController();
    const { signal } = asked;
    const settings = Object.fromEntries(new FormData(form));
    for (const name of NUMBERS) settings[name] = Number(settings[name]);
    const started = performance.now();
    let [tokens, nats, about] = [0, 0, null];
    text = settings.prompt;
    written.replaceChildren(element("span", { class: "prompt" }, settings.prompt));
    problems.show(problem);
    working(true);
    announce("Generating text.");
    try {
      for await (const item of sample({ model: model.name, ...settings }, signal)) {
        if (item.done) about = item.done;
        else {
          add(item);
          tokens += 1;
          nats += item.surprisal;
          told.textContent = `${count(tokens)} tokens`;
        }
      }
    } catch (error) {
      problems.show(problem, error, write);
    }
    if (asked.signal !== signal) return; // a different text has begun
    working(false);
    const seconds = (performance.now() - started) / 1_000;
    const begun = settings.prompt ? null : beginning(model.card.preprocess);
    told.textContent = summary({ tokens, nats, seconds, about, begun, stopped: signal.aborted });
    announce(told.textContent);
  }

  function working(yes) {
    const [before, after] = yes ? [generate, stop] : [stop, generate];
    const move = document.activeElement === before; // a disabled element loses the focus
    generate.disabled = yes;
    stop.disabled = !yes;
    copy.disabled = yes;
    written.setAttribute("aria-busy", String(yes));
    if (move) after.focus();
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    write();
  });
  form.elements.prompt.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  stop.addEventListener("click", () => asked.abort());
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      told.textContent = "Copied.";
    } catch {
      getSelection().selectAllChildren(written);
      told.textContent = "The browser does not allow copying. The text is selected: press Ctrl+C to copy it.";
    }
    announce(told.textContent);
  });
  return () => asked.abort();
}

/** Describe the token that text begins after if there is no prompt. */
function beginning({ vocabulary, newline_eos: ends, specials, backwards }) {
  const first = ends || vocabulary.includes("\n") ? "a newline" : `“${vocabulary[specials]}”`;
  return `the prompt is empty, so the text ${backwards ? "ends before" : "begins after"} ${first}`;
}

function summary({ tokens, nats, seconds, about, begun, stopped }) {
  const parts = [`${stopped ? "Stopped after " : ""}${count(tokens)} tokens in ${digits(seconds, 2)} s`];
  if (tokens) parts.push(`mean surprisal ${digits(nats / tokens, 3)} nats`);
  if (begun && tokens) parts.push(begun);
  if (about?.unknown.length) {
    const signs = about.unknown.map((sign) => `“${sign}”`).join(", ");
    parts.push(`tokens that are not in the model's vocabulary are read as <unk>: ${signs}`);
  }
  return parts.join(" · ");
}

function showReading(section, model) {
  const find = (selector) => section.querySelector(selector);
  const [form, problem, scores, inside] = ["form", ".problem", ".scores", ".inside"].map(find);
  const asked = new AbortController();
  const read = () => (form.reportValidity() ? form.elements.text.value : null);
  restore(form);
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
