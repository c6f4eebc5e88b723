// Tokens colored by their surprise, as `zoo analyze surprise` does: full red is 8 bits.

import { element } from "./dom.js";
import { digits } from "./format.js";

const FULL = 8 * Math.log(2); // nats
const HIGH = 3; // nats from which a token is underlined

/** Return a token as an element. */
export function tokenOf({ text, surprise }) {
  const kinds = ["token", surprise >= HIGH ? "high" : "", text === "\n" ? "newline" : ""];
  const token = element("span", { class: kinds.filter(Boolean).join(" ") }, text);
  token.dataset.surprise = surprise;
  token.style.setProperty("--surprise", Math.min(surprise / FULL, 1).toFixed(3));
  return token;
}

/** Return the steps of a legend, as list items. */
export function legend() {
  return [0, 1, 2, 3, 4, 5, 6].map((nats) => {
    const step = tokenOf({ text: nats > FULL ? `${nats}+` : `${nats}`, surprise: nats });
    return element("li", {}, step);
  });
}

/** Tell the surprise of the token under the pointer, or of that which the arrow keys have come to. */
export function tellTokens(container, tell) {
  let current = null;
  const go = (token) => {
    if (!token?.dataset?.surprise) return;
    current?.classList.remove("current");
    current = token;
    current.classList.add("current");
    const surprise = Number(token.dataset.surprise);
    const name = { "\n": "newline", " ": "space" }[token.textContent] ?? `“${token.textContent}”`;
    tell(`${name}: ${digits(surprise, 3)} nats, probability ${digits(100 * Math.exp(-surprise), 2)} %`);
  };
  container.addEventListener("pointerover", (event) => go(event.target));
  container.addEventListener("keydown", (event) => {
    const step = { ArrowRight: "nextElementSibling", ArrowLeft: "previousElementSibling" }[event.key];
    if (!step) return;
    event.preventDefault();
    go(current?.isConnected ? current[step] : container.querySelector(".token"));
  });
}
