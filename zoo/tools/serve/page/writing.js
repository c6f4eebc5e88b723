// Text generation, token by token.

import { sample } from "./api.js";
import { announce } from "./dom.js";
import { showColoring } from "./coloring.js";
import { count, digits } from "./format.js";
import * as problems from "./problems.js";

const NUMBERS = ["temperature", "top_p", "max_new_tokens", "top_k", "seed"];

/** Fill the section of a model; return its settings, as `settings()`, and a function that closes it. */
export function showWriting(section, model) {
  const find = (selector) => section.querySelector(selector);
  const [form, problem, written] = ["form", ".problem", ".written"].map(find);
  const [generate, stop, copy] = [".generate", ".stop", ".copy"].map(find);
  const preprocess = model.card.preprocess ?? {};
  const backwards = preprocess.backwards ?? false;
  const text = showColoring(section, model, { first: firstOf(preprocess), backwards });
  let asked = new AbortController();

  for (const slider of form.querySelectorAll("input[type=range]")) {
    const show = () => (slider.nextElementSibling.textContent = slider.value);
    slider.addEventListener("input", show);
    show();
  }
  find(".dice").addEventListener("click", () => {
    form.elements.seed.value = crypto.getRandomValues(new Uint32Array(1))[0] % 1_000_000;
  });

  function settings() {
    if (!form.reportValidity()) return null;
    const values = Object.fromEntries(new FormData(form));
    for (const name of NUMBERS) values[name] = Number(values[name]);
    return { model: model.name, ...values };
  }

  async function write() {
    const chosen = settings();
    if (!chosen) return;
    asked.abort();
    asked = new AbortController();
    const { signal } = asked;
    const started = performance.now();
    let [tokens, nats, about] = [0, 0, null];
    text.begin(chosen.prompt);
    problems.show(problem);
    working(true);
    announce("Generating text.");
    try {
      for await (const item of sample(chosen, signal)) {
        if (item.done) about = item.done;
        else {
          text.add(item);
          tokens += 1;
          nats += item.surprisal;
          text.tell(`${count(tokens)} tokens`);
        }
      }
    } catch (error) {
      problems.show(problem, error, write);
    }
    if (asked.signal !== signal) return; // a different text has begun
    working(false);
    const seconds = (performance.now() - started) / 1_000;
    const begun = chosen.prompt ? null : beginning(preprocess);
    const words = summary({ tokens, nats, seconds, about, begun, stopped: signal.aborted });
    text.tell(words);
    announce(words);
    text.end();
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
    let words = "Copied.";
    try {
      await navigator.clipboard.writeText(text.text());
    } catch {
      getSelection().selectAllChildren(written);
      words = "The browser does not allow copying. The text is selected: press Ctrl+C to copy it.";
    }
    text.tell(words);
    announce(words);
  });
  const close = () => {
    asked.abort();
    text.close();
  };
  return { settings, close };
}

/** Return the token that text begins after if there is no prompt. */
const firstOf = ({ vocabulary, newline_eos: ends, specials }) =>
  ends || vocabulary.includes("\n") ? "\n" : vocabulary[specials];

function beginning(preprocess) {
  const first = firstOf(preprocess) === "\n" ? "a newline" : `“${firstOf(preprocess)}”`;
  return `the prompt is empty, so the text ${preprocess.backwards ? "ends before" : "begins after"} ${first}`;
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
