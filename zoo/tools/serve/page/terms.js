// A class activation map as a sum of weighted feature maps, and the feature map that contributes most to it.

import { features } from "./api.js";
import { copyOf } from "./dom.js";
import { digits } from "./format.js";
import { color } from "./heat.js";

/**
 * Return a section with three tiles: the image, the feature map that contributes most to a class, and the sum.
 * @param {{model: object, input: File, image: string, name: string}} asked the image as a data URL, and the class
 */
export async function showTerms({ model, input, image, name }, signal) {
  const { features: maps, weights } = await features({ model: model.name, input, className: name }, signal);
  const { channel, weight, mean, sum } = termsOf(maps, weights);
  const view = copyOf("terms-view");
  const find = (selector) => view.querySelector(selector);
  find("img").src = image;
  const [, ofLargest, ofSum] = view.querySelectorAll("figcaption");
  const shown = digits(weight, 3);
  ofLargest.textContent = `channel ${channel} × ${shown}`;
  ofSum.textContent = `sum of ${maps.length} channels`;
  paint(find(".largest"), maps[channel], `Feature map of channel ${channel}`);
  paint(find(".sum"), sum, `Class activation map of ${name}`);
  find("p").textContent =
    `The map of ${name} is the sum of all ${maps.length} feature maps, each multiplied by its channel’s weight for ` +
    `this class; negative sums count as 0. Channel ${channel} contributes most: its mean of ${digits(mean, 3)} times ` +
    `its weight of ${shown} adds ${digits(mean * weight, 3)} to the logit.`;
  return view.querySelector("section");
}

/**
 * Return the channel whose weight times mean is largest, with both, and the sum of all weighted maps without negative
 * values.
 * @param {number[][][]} maps the feature maps, by channel and row
 * @param {number[]} weights the weights of a class, by channel
 */
export function termsOf(maps, weights) {
  const means = maps.map((map) => total(map.flat()) / map.flat().length);
  const terms = means.map((mean, channel) => mean * weights[channel]);
  const channel = terms.indexOf(Math.max(...terms));
  const sumAt = (row, column) => total(maps.map((map, number) => weights[number] * map[row][column]));
  const sum = maps[0].map((values, row) => values.map((_, column) => Math.max(sumAt(row, column), 0)));
  return { channel, weight: weights[channel], mean: means[channel], sum };
}

/** Draw a map on a canvas, one pixel for each value, from its lowest value to its highest. */
function paint(canvas, map, label) {
  const values = map.flat();
  const [low, high] = [Math.min(...values), Math.max(...values)];
  Object.assign(canvas, { width: map[0].length, height: map.length });
  canvas.setAttribute("aria-label", `${label}: values from ${digits(low, 3)} to ${digits(high, 3)}`);
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  for (const [place, value] of values.entries()) {
    image.data.set([...color((value - low) / Math.max(high - low, 1e-12)), 255], 4 * place);
  }
  context.putImageData(image, 0, 0);
}

const total = (values) => values.reduce((sum, value) => sum + value, 0);
