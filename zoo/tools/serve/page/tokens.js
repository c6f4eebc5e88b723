// Tokens of a text as elements. The words about a token are shown under the pointer, or with the arrow keys.

import { element } from "./dom.js";

/** Return a token as an element; `said` describes it, and `kinds` are further classes. */
export function tokenElement(text, said, ...kinds) {
  const token = element("span", { class: ["token", ...kinds].filter(Boolean).join(" "), title: said }, text);
  token.dataset.said = said;
  if (text === "\n") token.classList.add("newline");
  return token;
}

/** Tell the words about the token under the pointer, or selected with the arrow keys. */
export function tellTokens(container, tell) {
  let current = null;
  const go = (token) => {
    if (!token?.dataset?.said) return;
    current?.classList.remove("current");
    current = token;
    current.classList.add("current");
    const name = { "\n": "newline", " ": "space" }[token.textContent] ?? `“${token.textContent}”`;
    tell(`${name}: ${token.dataset.said}`);
  };
  container.addEventListener("pointerover", (event) => go(event.target));
  container.addEventListener("keydown", (event) => {
    const step = { ArrowRight: "nextElementSibling", ArrowLeft: "previousElementSibling" }[event.key];
    if (!step) return;
    event.preventDefault();
    go(current?.isConnected ? current[step] : container.querySelector(".token"));
  });
}
