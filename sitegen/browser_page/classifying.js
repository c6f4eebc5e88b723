// Images: the probabilities of their classes, and maps of the evidence for a class.

import { pixelsOf, shownOf } from "./pixels.js";
import { Problem } from "./problem.js";
import { programOf } from "./runtime.js";

/** Return the row of an image file: its most likely classes, or the reason why it cannot be read. */
export async function predictImage(model, file, top) {
  let pixels;
  try {
    pixels = await read(model, file);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return { input: file.name, predictions: [], error: error.message };
  }
  const { probabilities } = await run(model, pixels);
  const best = ranked(probabilities).slice(0, top ?? 1);
  const predictions = best.map((number) => ({ class: model.classes[number], probability: probabilities[number] }));
  return { input: file.name, predictions, error: null };
}

/**
 * Return an image and a class's activation map, both as PNG; by default, for the predicted class.
 * @param {{flips: ?boolean, rectify: ?boolean}} options the options of `zoo analyze cam`
 */
export async function mapsOf(model, file, name, { flips = false, rectify = true }) {
  const pixels = await read(model, file);
  const { probabilities, class_maps: maps } = await run(model, pixels);
  const number = name === undefined ? ranked(probabilities)[0] : model.classes.indexOf(name);
  const side = Math.sqrt(maps.length / model.classes.length);
  const least = rectify ? 0 : -Infinity;
  const ofClass = (all) =>
    all.slice(number * side ** 2, (number + 1) * side ** 2).map((value) => Math.max(value, least));
  let map = ofClass(maps);
  if (flips) {
    const other = await run(model, mirrored(pixels, size(model).size));
    const back = mirrored(ofClass(other.class_maps), side);
    map = map.map((value, place) => (value + back[place]) / 2);
  }
  const about = { map_of: model.classes[number], probability: probabilities[number], peak: Math.max(...map) };
  const items = [{ ...about, map: grayImage(map, side) }];
  return { items, image: await shownOf(file), figures: {}, scores: {} };
}

/** Return the feature maps of an image, and the weights of a class, as POST /features of `zoo serve` does. */
export async function featuresOf(model, file, name) {
  const { feature_maps: values } = await run(model, await read(model, file));
  const weights = model.weights[model.classes.indexOf(name)];
  const side = Math.sqrt(values.length / weights.length);
  const rows = Array.from({ length: weights.length * side }, (_, row) => [...values.slice(row * side, (row + 1) * side)]);
  const features = weights.map((_, channel) => rows.slice(channel * side, (channel + 1) * side));
  return { size: weights.length, features, tokens: null, weights };
}

const size = ({ card }) => ({ size: card.arguments.image_size, channels: card.arguments.in_channels });
const read = (model, file) => pixelsOf(file, size(model));
const run = async (model, pixels) => (await programOf(model))({ inputs: pixels });

/** Return the class numbers, most likely first. */
const ranked = (probabilities) => [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a]);

/** Return the rows of a map, each reversed. */
const mirrored = (values, width) => values.map((_, place) => values[place + width - 1 - 2 * (place % width)]);

/** Return a map as the data URL of a gray PNG, from its lowest value to its highest; a constant map is black. */
function grayImage(map, side) {
  const [low, high] = [Math.min(...map), Math.max(...map)];
  const canvas = Object.assign(document.createElement("canvas"), { width: side, height: side });
  const context = canvas.getContext("2d");
  const image = context.createImageData(side, side);
  for (const [place, value] of map.entries()) {
    const level = Math.round((255 * (value - low)) / Math.max(high - low, 1e-12));
    image.data.set([level, level, level, 255], 4 * place);
  }
  context.putImageData(image, 0, 0);
  return canvas.toDataURL();
}
