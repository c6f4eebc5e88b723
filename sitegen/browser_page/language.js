// Text: a language model reads one token at a time and passes its hidden state to the next step.

import { Problem } from "./problem.js";
import { uniforms } from "./random.js";
import { programOf } from "./runtime.js";

const TURN = 12; // milliseconds of computation before the browser may draw

let units = {}; // the hidden units of the last text, since one unit after the other is shown

/** Yield `{text, surprisal}` for each token that follows a prompt, and finally `{done: {unknown}}`. */
export async function* sampleText(model, settings, signal) {
  const { numbers, unknown } = encoded(model, settings.prompt);
  const stop = model.vocabulary.lower ? settings.stop.toLowerCase() : settings.stop;
  requirePossible(model, stop);
  yield* upTo(stop, drawn(model, numbers, settings, signal));
  yield { done: { unknown } };
}

/** Return the row of a text: its cross-entropy, or the reason why it cannot be scored. */
export async function predictText(model, input, signal) {
  const { numbers } = encoded(model, input);
  const row = { input, predictions: [], error: null };
  if (numbers.length < 2) return { ...row, error: `the text must have at least 2 tokens (got ${numbers.length})` };
  const read = await reader(model, signal);
  let nats = 0;
  for (const [place, number] of numbers.slice(0, -1).entries()) nats += surprisal((await read(number)).logits, numbers[place + 1]);
  const loss = nats / (numbers.length - 1);
  const unknown = model.vocabulary.specials ? numbers.filter((number) => number === 0).length : 0;
  const scores = { loss, bits_per_char: loss / Math.LN2, perplexity: Math.exp(loss) };
  return { ...row, predictions: [{ ...scores, tokens: numbers.length, unknown }] };
}

/** Return the value of a hidden unit after each token of a text, as POST /features of `zoo serve` does. */
export async function unitOf(model, text, unit, signal) {
  if (units.model !== model || units.text !== text) {
    const { numbers } = encoded(model, text);
    const read = await reader(model, signal);
    const values = []; // of all units, for each token
    for (const number of numbers) values.push((await read(number)).features);
    units = { model, text, values, tokens: numbers.map((number) => model.vocabulary.texts[number]) };
  }
  const { values, tokens } = units;
  const size = values[0].length;
  if (unit >= size) throw new Problem(`There is no channel ${unit}; the last channel is ${size - 1}.`);
  return { size, features: [values.map((all) => all[unit])], tokens, weights: null };
}

/** Return the token numbers of a text, and the characters outside the vocabulary, which are read as <unk>. */
function encoded({ vocabulary }, text) {
  const numberOf = new Map(vocabulary.texts.map((token, number) => [token, number]));
  const tokens = [...(vocabulary.lower ? text.toLowerCase() : text)];
  const unknown = [...new Set(tokens.filter((token) => !numberOf.has(token)))].sort();
  return { numbers: tokens.map((token) => numberOf.get(token) ?? 0), unknown };
}

function requirePossible({ vocabulary: { texts, drawable } }, stop) {
  const known = new Set(drawable.map((number) => texts[number]));
  const impossible = [...stop].filter((sign) => !known.has(sign));
  if (impossible.length) throw new Problem(`The stop string contains ${impossible.join(" ")}, which the model can never generate.`);
}

/** Return a function that reads a token and returns the outputs, such as the logits of the next token. */
async function reader(model, signal) {
  const run = await programOf(model);
  const { inputs, state: following } = model.signature;
  let state = Object.fromEntries(inputs.slice(1).map(({ name, shape }) => [name, zeros(shape)]));
  let resumed = performance.now();
  return async (number) => {
    if (performance.now() - resumed > TURN) {
      await new Promise((resolve) => setTimeout(resolve));
      resumed = performance.now();
    }
    signal.throwIfAborted();
    const outputs = await run({ tokens: BigInt64Array.of(BigInt(number)), ...state });
    state = Object.fromEntries(Object.entries(following).map(([before, after]) => [before, outputs[after]]));
    return outputs;
  };
}

const zeros = (shape) => new Float32Array(shape.reduce((product, size) => product * (size ?? 1), 1));

/** Yield the tokens that a model generates, each with its surprisal. Without a prompt, text begins after a newline. */
async function* drawn(model, prompt, settings, signal) {
  const { texts, drawable } = model.vocabulary;
  const newline = texts.indexOf("\n");
  const numbers = prompt.length ? prompt : [newline >= 0 ? newline : drawable[0]];
  const uniform = uniforms(settings.seed);
  const read = await reader(model, signal);
  for (const number of numbers.slice(0, -1)) await read(number);
  let number = numbers.at(-1);
  for (let count = 0; count < settings.max_new_tokens; count++) {
    const { logits } = await read(number);
    number = choose(logits, drawable, uniform(), settings);
    if (!Number.isFinite(logits[number])) throw new Problem("The model’s logits are not finite.");
    yield { text: texts[number], surprisal: surprisal(logits, number) };
  }
}

/**
 * Return the token that a uniform number between 0 and 1 chooses.
 * A temperature of 0 chooses the most likely token; a top-k of 0 or a top-p of 1 disables that limit.
 */
export function choose(logits, drawable, uniform, { temperature, top_k, top_p }) {
  const ranked = [...drawable].sort((a, b) => logits[b] - logits[a]); // the first of several equal tokens stays first
  if (temperature === 0) return ranked[0];
  const likely = ranked.slice(0, top_k || ranked.length);
  const odds = (number) => Math.exp((logits[number] - logits[ranked[0]]) / temperature);
  const total = sum(likely.map(odds));
  let before = 0;
  const kept = likely.filter((number) => (before += odds(number)) - odds(number) < top_p * total);
  kept.sort((a, b) => a - b); // the order of the vocabulary, as in `zoo sample`
  const drawn = uniform * sum(kept.map(odds));
  let passed = 0;
  return kept.find((number) => (passed += odds(number)) > drawn) ?? kept.at(-1);
}

/** Return -log p of a token in nats. */
function surprisal(logits, number) {
  const highest = logits.reduce((most, value) => Math.max(most, value), -Infinity);
  return highest - logits[number] + Math.log(sum(Array.from(logits, (value) => Math.exp(value - highest))));
}

const sum = (values) => values.reduce((total, value) => total + value, 0);

/** Yield tokens once their text cannot belong to a stop string; end where the stop string begins. */
export async function* upTo(stop, tokens) {
  let waiting = [];
  for await (const token of tokens) {
    waiting.push(token);
    const text = waiting.map((one) => one.text).join("");
    if (stop && text.includes(stop)) {
      waiting = waiting.slice(0, [...text.slice(0, text.indexOf(stop))].length); // a token is a character
      break;
    }
    while (waiting.length && !stop.startsWith(waiting.map((one) => one.text).join(""))) yield waiting.shift();
  }
  yield* waiting;
}
