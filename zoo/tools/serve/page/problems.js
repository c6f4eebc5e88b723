// Error messages, shown where they occur, with a button to try again and a field for the token.

import { keepToken } from "./api.js";
import { copyOf, element } from "./dom.js";

/** Show a problem in a place, or clear the place if there is no problem. `again` repeats the failed action. */
export function show(place, problem = null, again = null) {
  place.replaceChildren();
  if (problem === null || problem.name === "AbortError") return;
  if (problem.status === undefined) throw problem; // a bug in the page
  place.append(element("p", {}, element("strong", {}, sentence(problem.message))));
  if (problem.hint) place.append(element("p", {}, sentence(problem.hint)));
  if (again === null) return;
  const retry = () => {
    place.replaceChildren();
    again();
  };
  if (problem.status === 401) place.append(tokenForm(retry));
  else if (problem.again) place.append(element("button", { type: "button", onclick: retry }, "Try again"));
}

function tokenForm(retry) {
  const view = copyOf("token-view");
  const form = view.querySelector("form");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    keepToken(form.querySelector("input").value.trim());
    retry();
  });
  return view;
}

/** Return a text as a sentence; it may begin with a lowercase name, such as zoo or resnet20. */
function sentence(text) {
  const begun = text.replace(/^(?!zoo )[a-z]+ /, (word) => word.charAt(0).toUpperCase() + word.slice(1));
  return /[.!?…]$/.test(begun) ? begun : `${begun}.`;
}
