// Tokens colored by their surprisal, as in `zoo analyze surprisal`: full red means 6 nats.

import { element } from "./dom.js";
import { digits } from "./format.js";
import { tokenElement } from "./tokens.js";

const FULL = 6; // nats
const HIGH = 3; // tokens of at least this many nats are underlined

/** Return a token as an element. */
export function tokenOf({ text, surprisal }) {
  const said = `${digits(surprisal, 3)} nats, probability ${digits(100 * Math.exp(-surprisal), 2)}%`;
  const token = tokenElement(text, said, surprisal >= HIGH ? "high" : "");
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
