// The page: the list of models, and the model named in the URL, as in #cifar10-resnet20.

import { keepToken, listModels } from "./api.js";
import { announce, element } from "./dom.js";
import { metric } from "./format.js";
import { primary_metric, showCard, showHead } from "./models.js";
import { showImages } from "./images.js";
import * as problems from "./problems.js";
import { showText } from "./text.js";

const [list, main, view, problem] = ["models", "main", "view", "problem"].map((id) => document.getElementById(id));
let models = [];
let leave = () => {}; // closes the view of the current model

/** Remove the token from the URL, where it could be seen and copied; return whether there was a token. */
function takeToken() {
  const hash = location.hash.slice(1);
  const token = new URLSearchParams(hash).get("token") ?? new URLSearchParams(location.search).get("token");
  if (token === null) return false;
  keepToken(token);
  const name = hash.split("&").find((part) => !part.startsWith("token="));
  history.replaceState(null, "", location.pathname + (name ? `#${name}` : ""));
  return true;
}

async function load() {
  view.setAttribute("aria-busy", "true");
  try {
    models = await listModels();
  } catch (error) {
    view.replaceChildren(element("h1", { class: "unseen" }, "zoo"));
    problems.show(problem, error, load);
    return;
  } finally {
    view.removeAttribute("aria-busy");
  }
  list.replaceChildren(...models.map(listed));
  showModel();
}

function listed(model) {
  const best = primary_metric(model);
  const value = best ? `${metric(best.value, best.unit)}` : "";
  const about = element("span", { class: "muted small" }, [model.task, value].filter(Boolean).join(" · "));
  return element("li", {}, element("a", { href: `#${encodeURIComponent(model.name)}` }, model.name, about));
}

function named() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return location.hash.slice(1);
  }
}

function showModel() {
  const name = named();
  const model = name ? models.find((one) => one.name === name) : models[0];
  leave();
  leave = () => {};
  problem.replaceChildren();
  for (const [number, item] of [...list.children].entries()) {
    const link = item.firstChild;
    if (models[number] === model) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (!model) {
    document.title = "zoo";
    const said = element("p", {}, `This server has no model called “${name}”.`);
    view.replaceChildren(element("h1", {}, "Unknown model"), said);
    return;
  }
  document.title = `${model.name} · zoo`;
  view.replaceChildren(showHead(model));
  if (model.takes === "image" || model.takes === "file") leave = showImages(view, model);
  if (model.takes === "text") leave = showText(view, model);
  if (model.takes === null) {
    view.append(element("p", {}, "The task of this model does not support predictions for single inputs."));
  }
  view.append(showCard(model));
}

window.addEventListener("hashchange", () => {
  if (takeToken()) return void load();
  showModel();
  main.focus({ preventScroll: true });
  window.scrollTo(0, 0);
  announce(document.title);
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the hash names the model
  main.focus();
});
takeToken();
load();
