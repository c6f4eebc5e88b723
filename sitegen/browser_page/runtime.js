// ONNX Runtime and the programs of models, each downloaded when it is first used.

import { Problem } from "./problem.js";

const MODULE = "runtime/ort.wasm.bundle.min.mjs";
const BINARY = "runtime/ort-wasm-simd-threaded.wasm";

const loading = document.getElementById("loading");
let failed = 0; // attempts to import the runtime
const kept = new Map(); // promises by name; failed promises are removed so that they can be retried

/** Return the response to a request for a file in this folder; `what` begins the message if the request fails. */
export async function fetched(path, what) {
  const again = true;
  let answer;
  try {
    answer = await fetch(new URL(path, document.baseURI));
  } catch {
    throw new Problem(`${what} could not be downloaded.`, { hint: "Check your network connection.", again });
  }
  if (!answer.ok) throw new Problem(`${what} could not be downloaded: status ${answer.status}.`, { again });
  return answer;
}

/**
 * Return the program of a model: a function that maps inputs to outputs, both arrays by name.
 * If the first axis of an array has size null in the signature, it is the batch axis, which has size 1 here.
 */
export async function programOf(model) {
  const ort = await once("the runtime", runtime);
  const session = await once(model.name, async () => {
    const content = await downloaded(`models/${encodeURIComponent(model.name)}.onnx`, model.name);
    return ort.InferenceSession.create(content, { executionProviders: ["wasm"] });
  });
  return async (inputs) => {
    const feeds = model.signature.inputs.map(({ name, dtype, shape }) => [
      name,
      new ort.Tensor(dtype, inputs[name], shape.map((size) => size ?? 1)),
    ]);
    const outputs = await session.run(Object.fromEntries(feeds));
    return Object.fromEntries(Object.entries(outputs).map(([name, { data }]) => [name, data]));
  };
}

async function runtime() {
  const wasmBinary = await downloaded(BINARY, "the runtime");
  const { env, InferenceSession, Tensor } = await imported(new URL(MODULE, document.baseURI));
  Object.assign(env.wasm, { wasmBinary, numThreads: 1 }); // threads need headers that a plain file server does not send
  return { InferenceSession, Tensor };
}

async function imported(url) {
  if (failed) url.search = `attempt=${failed + 1}`; // browsers remember that a module could not be imported
  try {
    return await import(url);
  } catch {
    failed += 1;
    throw new Problem("The runtime could not be downloaded.", { hint: "Check your network connection.", again: true });
  }
}

async function downloaded(path, what) {
  loading.textContent = `Downloading ${what}…`;
  try {
    const answer = await fetched(path, what[0].toUpperCase() + what.slice(1));
    const bytes = Number(answer.headers.get("Content-Length"));
    if (bytes) loading.textContent = `Downloading ${what} (${(bytes / 1e6).toFixed(1)} MB)…`;
    return new Uint8Array(await answer.arrayBuffer());
  } finally {
    loading.textContent = "";
  }
}

/** Return the result of the first call of a function for a name. */
function once(name, make) {
  if (!kept.has(name)) {
    const made = make();
    kept.set(name, made);
    made.catch(() => kept.delete(name));
  }
  return kept.get(name);
}
