// The API of the served page, without a server: the same functions, computed here by exported models.

import { featuresOf, mapsOf, predictImage } from "./classifying.js";
import { predictText, sampleText, unitOf } from "./language.js";
import { Problem } from "./problem.js";
import { fetched } from "./runtime.js";

/** Do nothing: without a server, no token is needed. */
export const keepToken = () => {};

/** Describe the models, as GET /models of `zoo serve` does, each with its signature. */
export async function listModels() {
  const names = await (await fetched("models/index.json", "The list of models")).json();
  models = new Map(await Promise.all(names.map(async (name) => [name, await describe(name)])));
  return [...models.values()];
}

/** Return the address of a model's card. */
export const cardAddress = (model) => `models/${encodeURIComponent(model)}.html`;

/** Return null: without a server, a link can open every card. */
export const readCard = () => null;

/** Return the row of an input: `{input, predictions, error}`. */
export function predict({ model, input, top = null }, signal) {
  const described = models.get(model);
  if (typeof input === "string") return predictText(described, input, signal);
  return predictImage(described, input, top);
}

/** Return the class activation map of an image, as POST /analyze of `zoo serve` does. */
export const analyze = ({ model, input, classes, options }) => mapsOf(models.get(model), input, classes[0], options);

/** Return the feature maps of an image, or a hidden unit over a text, as POST /features of `zoo serve` does. */
export function features({ model, input, channel, className }, signal) {
  const described = models.get(model);
  if (typeof input === "string") return unitOf(described, input, channel, signal);
  return featuresOf(described, input, className);
}

/** Yield `{text, surprisal}` for each token, and finally `{done}` with the summary of the whole text. */
export const sample = ({ model, ...settings }, signal) => sampleText(models.get(model), settings, signal);

let models = new Map(); // by name

async function describe(name) {
  const answer = await fetched(`models/${encodeURIComponent(name)}.json`, `The card of ${name}`);
  try {
    return await answer.json();
  } catch {
    throw new Problem(`The card of ${name} is damaged.`);
  }
}
