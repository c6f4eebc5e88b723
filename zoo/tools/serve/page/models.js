// The description of a model: its heading, its metrics, and its card.

import { cardAddress, readCard } from "./api.js";
import { showCurves } from "./curves.js";
import { element, facts } from "./dom.js";
import { showPage } from "./figures.js";
import { count, digits, measured, metric, words } from "./format.js";
import * as problems from "./problems.js";

/** Return the primary metric, `{split, name, value, unit}`, of the test split if it was measured there. */
export function primary_metric({ metrics, primary_metric: name, units }) {
  const split = ["test", "val", "train"].find((one) => Number.isFinite(metrics[one]?.[name]));
  return split ? { split, name, value: metrics[split][name], unit: units[name] } : null;
}

/** Return the heading of a model: its description and its metrics. */
export function showHead(model) {
  const about = [`${model.architecture}, trained on ${model.dataset}`];
  if (model.parameters !== null) about.push(`${count(model.parameters)} parameters`);
  return element(
    "header",
    { class: "head" },
    element("p", { class: "eyebrow" }, words(model.task).replaceAll("-", " ")),
    element("h1", {}, model.name),
    element("p", { class: "muted" }, about.join(" · ")),
    metricsOf(model),
  );
}

/** Return the metrics of the primary metric's split, with the primary metric first. */
function metricsOf(model) {
  const first = primary_metric(model);
  if (!first) return "";
  const values = Object.entries(model.metrics[first.split]).filter(([, value]) => Number.isFinite(value));
  values.sort(([a], [b]) => (b === first.name) - (a === first.name));
  const pairs = values.map(([key, value]) => {
    const [name, said] = measured(key, value, model.units);
    return [`${first.split} ${name}${interval(model, first.split, key)}`, said];
  });
  return facts(pairs, "metrics");
}

/** Return the 95% confidence interval of a metric in parentheses, or an empty string if the card has none. */
function interval(model, split, key) {
  const bounds = model.card.intervals?.[split]?.[key];
  const unit = model.units[key] === "%" ? "%" : "";
  return bounds ? ` (${bounds.map((bound) => metric(bound, unit)).join(" to ")})` : "";
}

/** Return the other fields of a model's card, with its learning curves, if any. */
export function showCard(model) {
  const heading = element("h2", { id: "card-heading" }, "About this model");
  const section = element("section", { class: "card", "aria-labelledby": "card-heading" }, heading, ...linkToCard(model));
  if (model.history?.length) section.append(showCurves(model));
  if (model.classes.length) {
    const items = model.classes.map((name) => element("li", {}, name));
    const title = `${count(model.classes.length)} classes`;
    section.append(element("h3", {}, title), element("ul", { class: "classes" }, ...items));
  }
  section.append(facts(details(model)));
  const { training } = model.card;
  if (training && Object.keys(training).length) {
    const rows = Object.entries(training).map(([name, value]) => [name, plain(value)]);
    const summary = element("summary", {}, "Training configuration");
    section.append(element("details", {}, summary, facts(rows, "facts code")));
  }
  return section;
}

/** Return a link to the model card of `zoo card`, and the place where it opens if the link cannot open it. */
function linkToCard({ name }) {
  const place = element("div", { role: "alert" });
  const onclick = async (event) => {
    const reading = readCard(name);
    if (reading === null) return;
    event.preventDefault();
    try {
      place.replaceChildren(showPage(await reading, `Model card of ${name}`));
    } catch (error) {
      problems.show(place, error);
    }
  };
  return [element("p", {}, element("a", { href: cardAddress(name), onclick }, "Model card")), place];
}

function details(model) {
  const { card, metrics, units, primary_metric: name } = model;
  const pairs = [];
  const add = (term, value) => value && pairs.push([term, value]);
  for (const key of ["license", "source", "author"]) add(key, typeof card[key] === "string" ? card[key] : "");
  const { epochs, steps } = card.progress ?? {};
  add("trained for", epochs && `${count(epochs)} epoch${epochs > 1 ? "s" : ""}, ${count(steps)} steps, seed ${card.seed}`);
  for (const [split, values] of Object.entries(metrics)) {
    if (split === primary_metric(model)?.split) continue; // it is in the heading
    const shown = ([key, value]) => `${measured(key, value, units).join(" ")}${interval(model, split, key)}`;
    add(split, Object.entries(values).map(shown).join(", "));
  }
  const seeds = Object.values(card.by_seed ?? {});
  add(`${words(name)} by seed`, seeds.map((value) => metric(value, units[name])).join(", "));
  add("fine-tuned from", card.base_model?.name);
  add("data options", assignments(card.dataset?.options));
  add("model options", assignments(card.arguments));
  add("made with", Object.entries(card.versions ?? {}).map(([key, value]) => `${key} ${value}`).join(", "));
  add("sha256", card.sha256 && element("code", {}, card.sha256));
  return pairs;
}

function assignments(options) {
  return Object.entries(options ?? {}).map(([name, value]) => `${name}=${plain(value)}`).join(", ");
}

function plain(value) {
  if (Array.isArray(value)) return value.length ? value.map(plain).join(", ") : "none";
  if (typeof value === "number" && !Number.isInteger(value)) return String(Number(digits(value, 6)));
  return typeof value === "object" && value !== null ? JSON.stringify(value) : String(value);
}
