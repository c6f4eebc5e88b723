// Tokens colored by the value of a hidden unit, as in `zoo analyze hidden-units`: blue below zero, orange above.

import { element } from "./dom.js";
import { digits } from "./format.js";
import { tokenElement } from "./tokens.js";

/** Return whether a model has hidden units to show: the input of its head, or its features. */
export const hasUnits = ({ landmarks }) => landmarks.includes("head") || landmarks.includes("features");

/** Return tokens as elements; the largest absolute value has the strongest color. */
export function unitTokens(tokens, values) {
  const most = largest(values);
  return tokens.map((text, place) => unitToken(text, values[place], most));
}

/** Return the steps of a legend for the values, as list items. */
export function unitLegend(values) {
  const most = largest(values);
  const steps = [-1, -0.5, 0, 0.5, 1].map((share) => share * most);
  return steps.map((value) => element("li", {}, unitToken(String(Number(digits(value, 2))).replace("-", "−"), value, most)));
}

/** Describe the range of the values. */
export const rangeOf = (values) => `${signed(Math.min(...values), 3)} to ${signed(Math.max(...values), 3)}`;

function unitToken(text, value, most) {
  const token = tokenElement(text, signed(value, 3), "unit", value < 0 ? "negative" : "");
  token.dataset.value = value;
  token.style.setProperty("--share", most ? (Math.abs(value) / most).toFixed(3) : 0);
  return token;
}

const largest = (values) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
const signed = (value, count) => digits(value, count).replace(/^-/, "−");
