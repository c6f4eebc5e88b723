// DOM elements created from data. Text is inserted as text, never as HTML: file and class names are untrusted.

const SVG = "http://www.w3.org/2000/svg";

/**
 * Return a new element. `properties` are attributes; a function is a listener, as in `{onclick: f}`.
 * Children are elements or text.
 */
export function element(name, properties = {}, ...children) {
  return filled(document.createElement(name), properties, children);
}

/** Return a new SVG element, as `element` does. */
export function drawn(name, properties = {}, ...children) {
  return filled(document.createElementNS(SVG, name), properties, children);
}

function filled(node, properties, children) {
  for (const [key, value] of Object.entries(properties)) {
    if (typeof value === "function") node.addEventListener(key.slice(2), value);
    else if (value === true) node.setAttribute(key, "");
    else if (value !== false && value != null) node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

/** Return a copy of the content of the template with an id. */
export function copyOf(template) {
  return document.getElementById(template).content.cloneNode(true);
}

/** Return a description list of `[term, description]` pairs. */
export function facts(pairs, className = "facts") {
  const rows = pairs.map(([term, what]) => element("div", {}, element("dt", {}, term), element("dd", {}, what)));
  return element("dl", { class: className }, ...rows);
}

/** Announce a visual change to screen readers. */
export function announce(text) {
  document.getElementById("live").textContent = text;
}
