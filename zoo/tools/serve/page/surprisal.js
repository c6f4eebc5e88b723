// Tokens colored by their surprisal, as in `zoo analyze surprisal`: full red means 6 nats.

import { element } from "./dom.js";
import { digits } from "./format.js";

const FULL = 6; // nats
const HIGH = 3; // tokens of at least this many nats are underlined

/** Return a token as an element. */
export function tokenOf({ text, surprisal }) {
  const kinds = ["token", surprisal >= HIGH ? "high" : "", text === "\n" ? "newline" : ""];
  const token = element("span", { class: kinds.filter(Boolean).join(" ") }, text);
  token.dataset.surprisal = surprisal;
  token.style.setProperty("--surprisal", Math.min(surprisal / FULL, 1).toFixed(3));
  return token;
}

/** Return the steps of a legend, as list items. */
export function legend() {
  return [0, 1, 2, 3, 4, 5, 6].map((nats) => {
    const step = tokenOf({ text: nats >= FULL ? `${nats}+` : `${nats}`, surprisal: nats });
    return element("li", {}, step);
  });
}

/** Show the surprisal of the token under the pointer, or selected with the arrow keys. */
export function tellTokens(container, tell) {
  let current = null;
  const go = (token) => {
    if (!token?.dataset?.surprisal) return;
    current?.classList.remove("current");
    current = token;
    current.classList.add("current");
    const surprisal = Number(token.dataset.surprisal);
    const name = { "\n": "newline", " ": "space" }[token.textContent] ?? `“${token.textContent}”`;
    tell(`${name}: ${digits(surprisal, 3)} nats, probability ${digits(100 * Math.exp(-surprisal), 2)}%`);
  };
  container.addEventListener("pointerover", (event) => go(event.target));
  container.addEventListener("keydown", (event) => {
    const step = { ArrowRight: "nextElementSibling", ArrowLeft: "previousElementSibling" }[event.key];
    if (!step) return;
    event.preventDefault();
    go(current?.isConnected ? current[step] : container.querySelector(".token"));
  });
}
