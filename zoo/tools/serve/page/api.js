// The HTTP API: a function for each route. Errors are thrown as `Problem` objects.
// Addresses are relative, so that the page also works under a proxy's path.

import { Problem } from "./problem.js";

const KEY = "zoo-token";

/** Keep a token for this tab. */
export const keepToken = (token) => sessionStorage.setItem(KEY, token);

/** Describe the models: see GET /models. */
export const listModels = async () => (await ask("models")).json();

/** Return the address of a model's card. */
export const cardAddress = (model) => `card?${new URLSearchParams({ model })}`;

/** Return a promise of a model's card as HTML; null if a link can open the card, because no token is needed. */
export function readCard(model) {
  if (!sessionStorage.getItem(KEY)) return null;
  return ask(cardAddress(model)).then((answer) => answer.text());
}

/**
 * Return the row of an input: `{input, predictions, error}`.
 * @param {{model: string, input: File|string, top: ?number}} asked an image or a text
 */
export async function predict({ model, input, top = null }, signal) {
  const form = formOf(model, input);
  if (top !== null) form.append("top", top);
  const [row] = await (await ask("predict", { method: "POST", body: form, signal })).json();
  return row;
}

/** Return the findings of an analyzer: see POST /analyze. */
export async function analyze({ model, input, analyzer, classes, layer, options }, signal) {
  const form = formOf(model, input);
  form.append("analyzer", analyzer);
  for (const name of classes) form.append("class", name);
  if (layer) form.append("layer", layer);
  form.append("options", JSON.stringify(options));
  return (await ask("analyze", { method: "POST", body: form, signal })).json();
}

/**
 * Return the feature maps of an image, or the hidden units of a text: see POST /features.
 * @param {{channel: ?number, className: ?string}} asked a single channel or unit; the class whose weights to return
 */
export async function features({ model, input, channel = null, className = null }, signal) {
  const form = formOf(model, input);
  if (channel !== null) form.append("channel", channel);
  if (className !== null) form.append("class", className);
  return (await ask("features", { method: "POST", body: form, signal })).json();
}

/** Yield `{text, surprisal}` for each token, and finally `{done}` with the summary of the whole text. */
export async function* sample(settings, signal) {
  const headers = { "Content-Type": "application/json" };
  const answer = await ask("sample", { method: "POST", headers, body: JSON.stringify(settings), signal });
  for await (const { event, data } of events(answer.body)) {
    if (event === "error") throw problemOf(data, 0);
    if (event === "done") return void (yield { done: data });
    yield data;
  }
  throw new Problem("The server closed the connection before the end of the text.", { again: true });
}

function formOf(model, input) {
  const form = typeof input === "string" ? new URLSearchParams() : new FormData(); // FormData changes newlines
  form.append("model", model);
  if (typeof input === "string") form.append("text", input);
  else form.append("input", input, input.name);
  return form;
}

async function ask(path, { headers = {}, ...rest } = {}) {
  const token = sessionStorage.getItem(KEY);
  if (token) headers.Authorization = `Bearer ${token}`;
  const answer = await answered(fetch(new URL(path, document.baseURI), { ...rest, headers }));
  if (answer.ok) return answer;
  const content = await answer.json().catch(() => ({}));
  throw problemOf(content, answer.status, Number(answer.headers.get("Retry-After")));
}

/** Return the value of a network promise; a network failure becomes a Problem. */
async function answered(promise) {
  try {
    return await promise;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The server does not respond.", { hint: "Is zoo serve still running?", again: true });
  }
}

function problemOf({ error }, status, seconds = 0) {
  const again = status === 503 || status === 429 || status >= 500;
  const usual = status === 503 ? "The server is busy." : `The server responded with status ${status}.`;
  const message = error?.message ?? usual;
  const wait = seconds > 0 ? `Try again in ${seconds} s.` : "";
  return new Problem(message, { hint: [error?.hint, wait].filter(Boolean).join(" "), status, again });
}

/** Yield the server-sent events of a body, `{event, data}`. */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await answered(reader.read());
      if (done) return;
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const fields = Object.fromEntries(block.split("\n").map((line) => line.split(/: (.*)/s, 2)));
        if (fields.data) yield { event: fields.event ?? "message", data: JSON.parse(fields.data) };
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
