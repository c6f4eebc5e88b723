// Number formats that are common in machine learning.

/** Return a metric with its unit: a share as a percentage, any other number with four digits. */
export function metric(value, unit = "") {
  if (!Number.isFinite(value)) return "not a number";
  if (unit === "%") return `${(100 * value).toFixed(2)}%`;
  return `${digits(value)} ${unit}`.trim();
}

/** Return a name in words. */
export const words = (name) => name.replaceAll("_", " ");

/** Return a metric's label and value, as in `["loss", "1.413 nats"]`. A unit may be its name. */
export function measured(name, value, units) {
  const unit = units[name] ?? "";
  if (Number.isInteger(value) && !unit) return [words(name), count(value)];
  if (unit.startsWith(name.split("_")[0])) return [unit, metric(value)];
  return [words(name), metric(value, unit)];
}

/** Return a number with a given number of significant digits, without an exponent if possible. */
export function digits(value, count = 4) {
  if (value !== 0 && (Math.abs(value) < 1e-4 || Math.abs(value) >= 1e6)) return value.toExponential(count - 1);
  return Math.abs(value) >= 10 ** count ? value.toFixed(0) : value.toPrecision(count);
}

/** Return a count with separators. */
export const count = (value) => value.toLocaleString("en");

/** Return a probability as a percentage with one decimal. */
export const percent = (share) => `${(100 * share).toFixed(1)}%`;
