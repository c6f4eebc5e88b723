// Image files as pixels: decoded, cropped and resized as `zoo predict` does.

import { Problem } from "./problem.js";

const MOST = 2 ** 26; // pixels of an image
const LARGEST = 1_024; // pixels of the height and width of a square that is shown
const BITS = 22; // of a weight, as in Pillow

/** Return the bitmap of a file. Throws a Problem if the file cannot be decoded. */
async function opened(file) {
  let bitmap;
  try {
    // with the pixels of the file: no color profile is applied, and no color is multiplied by its opacity
    bitmap = await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  } catch {
    throw unreadable(file, "it is damaged, or this browser does not support its format");
  }
  const pixels = bitmap.width * bitmap.height;
  if (pixels > MOST) throw unreadable(file, `it has more than ${MOST.toLocaleString("en")} pixels`);
  if (pixels === 1) throw unreadable(file, "it has a single pixel");
  return bitmap;
}

const unreadable = ({ name }, why) => new Problem(`${name} cannot be read as an image: ${why}`);

/** Return the central square of a bitmap over white, at most `most` pixels wide, as a canvas. */
function squareOf(bitmap, most = Infinity) {
  const side = Math.min(bitmap.width, bitmap.height);
  const [left, top] = [bitmap.width, bitmap.height].map((length) => rounded((length - side) / 2));
  const size = Math.min(side, most);
  const canvas = Object.assign(document.createElement("canvas"), { width: size, height: size });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#fff";
  context.fillRect(0, 0, size, size);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, left, top, side, side, 0, 0, size, size);
  return canvas;
}

/** Return the nearest integer or, for a tie, the even integer, as Python does. */
const rounded = (value) => (value % 1 === 0.5 ? 2 * Math.round(value / 2) : Math.round(value));

/** Return the central square of a file as the data URL of a PNG. Throws a Problem for a file that is not an image. */
export const shownOf = async (file) => squareOf(await opened(file), LARGEST).toDataURL();

/**
 * Return the pixels of a file as a classifier reads them, (channels, size, size).
 * Throws a Problem for a file that is not an image.
 */
export async function pixelsOf(file, { size, channels }) {
  const canvas = squareOf(await opened(file));
  const side = canvas.width;
  const { data } = canvas.getContext("2d").getImageData(0, 0, side, side); // red, green, blue, opacity
  const planes = channels === 1 ? [grayOf(data)] : [0, 1, 2].map((c) => data.filter((_, n) => n % 4 === c));
  const pixels = new Uint8Array(channels * size * size);
  for (const [channel, plane] of planes.entries()) {
    pixels.set(side === size ? plane : resized(plane, side, size), channel * size * size);
  }
  return pixels;
}

/** Return the luminance of RGBA pixels in fixed point, as Pillow computes it. */
function grayOf(data) {
  return Uint8Array.from({ length: data.length / 4 }, (_, pixel) => {
    const [red, green, blue] = data.subarray(4 * pixel, 4 * pixel + 3);
    return (19_595 * red + 38_470 * green + 7_471 * blue + 0x8000) >> 16;
  });
}

/** Return a square of `side` pixels resized to `size`: in width, then in height, like Pillow's BILINEAR. */
function resized(plane, side, size) {
  const taps = tapsOf(side, size);
  const narrow = new Uint8Array(side * size);
  for (let row = 0; row < side; row++) {
    for (const [column, { first, weights }] of taps.entries()) {
      narrow[row * size + column] = weighted(plane, row * side + first, 1, weights);
    }
  }
  const pixels = new Uint8Array(size * size);
  for (const [row, { first, weights }] of taps.entries()) {
    for (let column = 0; column < size; column++) {
      pixels[row * size + column] = weighted(narrow, first * size + column, size, weights);
    }
  }
  return pixels;
}

function weighted(plane, start, step, weights) {
  let sum = 1 << (BITS - 1);
  for (let n = 0; n < weights.length; n++) sum += plane[start + n * step] * weights[n];
  return Math.min(Math.max(sum >> BITS, 0), 255);
}

/** Return, for each of `to` pixels, the weights of the `from` pixels in its mean: a triangle, wider when shrinking. */
function tapsOf(from, to) {
  const scale = from / to;
  const support = Math.max(scale, 1);
  return Array.from({ length: to }, (_, pixel) => {
    const center = (pixel + 0.5) * scale;
    const first = Math.max(Math.trunc(center - support + 0.5), 0);
    const end = Math.min(Math.trunc(center + support + 0.5), from);
    const shares = Array.from({ length: end - first }, (_, n) =>
      Math.max(1 - Math.abs((n + first - center + 0.5) / support), 0),
    );
    const sum = shares.reduce((total, share) => total + share, 0);
    return { first, weights: shares.map((share) => Math.trunc(0.5 + (share / sum) * 2 ** BITS)) };
  });
}
