// A map drawn over its image, in the colors of `zoo analyze`. Higher values are more opaque.

import { copyOf } from "./dom.js";

const SMALLEST = 448; // minimum height and width of the canvas in pixels
const REACH = 2; // points on each side that a cubic curve takes into account

// Matplotlib's colormap inferno at 17 points
const INFERNO = (
  "000004 0b0724 210c4a 3d0965 57106e 71196e 8a226a a32c61 bc3754 " +
  "d24644 e45a31 f1731d f98e09 fcac11 f9cb35 f2ea69 fcffa4"
)
  .split(" ")
  .map((hex) => [0, 2, 4].map((place) => parseInt(hex.slice(place, place + 2), 16)));

let opacity = 70; // of the highest value, in percent; kept for the next map

/** Return the color `[red, green, blue]` of a value between 0 and 1. */
export function color(value) {
  const place = Math.min(Math.max(value, 0), 1) * (INFERNO.length - 1);
  const [low, high] = [INFERNO[Math.floor(place)], INFERNO[Math.ceil(place)]];
  return low.map((from, channel) => from + (high[channel] - from) * (place % 1));
}

/**
 * Return a figure of a map over an image, with a slider for its opacity.
 * @param {string} image data URL of a square
 * @param {string} map data URL of a gray image
 * @param {{label: string, caption: string}} words text for screen readers, and the caption below the figure
 */
export async function showHeat(image, map, { label, caption }) {
  const [below, gray] = await Promise.all([loaded(image), loaded(map)]);
  const view = copyOf("heat-view");
  const find = (selector) => view.querySelector(selector);
  const [figure, canvas, slider, output] = ["figure", "canvas", ".opacity", "output"].map(find);
  canvas.width = canvas.height = Math.max(SMALLEST, below.naturalWidth);
  canvas.setAttribute("aria-label", label);
  find("figcaption").textContent = caption;
  const stops = INFERNO.map((rgb) => `rgb(${rgb.join(" ")})`).join(", ");
  find(".scale i").style.background = `linear-gradient(to right, ${stops})`;
  const blend = blender(canvas, below, heatOf(gray, canvas.width));
  const draw = () => {
    opacity = Number(slider.value);
    output.textContent = `${opacity}%`;
    blend(opacity / 100);
  };
  slider.value = opacity;
  slider.addEventListener("input", draw);
  draw();
  return figure;
}

async function loaded(url) {
  const image = new Image();
  image.src = url;
  await image.decode();
  return image;
}

/** Return a function that draws a heat map over an image with an opacity between 0 and 1. */
function blender(canvas, image, heat) {
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  const below = context.getImageData(0, 0, canvas.width, canvas.height);
  const colors = Uint8ClampedArray.from(Array.from({ length: 256 }, (_, level) => color(level / 255)).flat());
  const mixed = context.createImageData(below);
  return (most) => {
    for (let pixel = 0; pixel < heat.length; pixel++) {
      const [share, level] = [most * heat[pixel], 3 * Math.round(255 * heat[pixel])];
      for (let channel = 0; channel < 3; channel++) {
        const at = 4 * pixel + channel;
        mixed.data[at] = below.data[at] + share * (colors[level + channel] - below.data[at]);
      }
      mixed.data[4 * pixel + 3] = 255;
    }
    context.putImageData(mixed, 0, 0);
  };
}

/** Return the values of a gray image, 0 to 1, enlarged to a square by bicubic interpolation, row by row. */
function heatOf(gray, side) {
  const [width, height] = [gray.naturalWidth, gray.naturalHeight];
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  context.drawImage(gray, 0, 0);
  const levels = context.getImageData(0, 0, width, height).data.filter((_, place) => place % 4 === 0);
  const across = weightsOf(width, side);
  const down = weightsOf(height, side);
  const wide = new Float32Array(height * side);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < side; column++) {
      for (const [from, weight] of across[column]) wide[row * side + column] += weight * levels[row * width + from];
    }
  }
  const heat = new Float32Array(side * side);
  for (let row = 0; row < side; row++) {
    for (const [from, weight] of down[row]) {
      for (let column = 0; column < side; column++) heat[row * side + column] += weight * wide[from * side + column];
    }
  }
  return heat.map((value) => Math.min(Math.max(value / 255, 0), 1));
}

/** Return, for each of `to` pixels, the weight of each of `from` points: Keys' cubic, like Pillow's BICUBIC. */
function weightsOf(from, to) {
  return Array.from({ length: to }, (_, pixel) => {
    const center = ((pixel + 0.5) * from) / to - 0.5;
    const taps = [];
    for (let point = Math.ceil(center - REACH); point <= center + REACH; point++) {
      if (point >= 0 && point < from) taps.push([point, cubic(Math.abs(point - center))]);
    }
    const sum = taps.reduce((total, [, weight]) => total + weight, 0);
    return taps.map(([point, weight]) => [point, weight / sum]);
  });
}

function cubic(x) {
  if (x < 1) return 1.5 * x ** 3 - 2.5 * x ** 2 + 1;
  return x < 2 ? -0.5 * x ** 3 + 2.5 * x ** 2 - 4 * x + 2 : 0;
}
