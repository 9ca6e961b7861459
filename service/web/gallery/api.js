// The service's public API, as far as the page needs it.

import { identity } from "./identity.js";

const ROOT = new URL(".", document.baseURI);
const ATTEMPTS = 5; // of a request that a busy service puts off
const LONGEST_WAIT = 30; // seconds

/** The service has refused: `message` says why, for people. */
export class Problem extends Error {
  constructor(status, document = {}) {
    super(explanation(document) || `The server returned status ${status}.`);
    this.status = status;
    this.code = document.code;
  }
}

/** Nobody answers. */
export class Unreachable extends Error {}

/** What to do when the API wants to know who is asking; resolves to whether it can be asked again. */
let signIn = async () => false;
export const whenUnauthorized = (ask) => (signIn = ask);

/** A page of a list. The cursor to the next contains the filters. */
export const listImages = (filters, cursor, signal) =>
  call("GET", `images?${new URLSearchParams(cursor ? { cursor } : filters)}`, { signal });

export async function getImage(id) {
  const { metadata, ...links } = await call("GET", `images/${encodeURIComponent(id)}?metadata_only=true`);
  return { ...metadata, ...links };
}

export const editImage = async (id, changes) =>
  (await call("PATCH", `images/${id}`, { body: { ...changes, ...myself() } })).metadata;

export const deleteImage = (id, options) => call("DELETE", `images/${id}`, { body: myself(), ...options });

export const beginUpload = (details, key, signal) =>
  call("POST", "uploads", { body: { ...details, ...myself() }, headers: { "Idempotency-Key": key }, signal });

export const signUpload = (id, signal) => call("POST", `uploads/${id}/sign`, { signal });
export const completeUpload = (id, signal) => call("POST", `uploads/${id}/complete`, { signal });
export const cancelUpload = (id) => call("DELETE", `uploads/${id}`);

/** Where the picture's own bytes are, as a file to keep. A browser sends no token there: then `download` it. */
export const downloadAddress = (id) => new URL(`images/${id}?download=true`, ROOT).href;
/** Fetch an image as a file, under the name that the service gives it: with the extension of its format. */
export async function download(id) {
  // Some gateways decode bytes only for an Accept that begins with an image type.
  const headers = { Accept: "image/*, */*;q=0.5" };
  const response = await request("GET", `images/${id}?download=true`, { headers });
  const [, name] = response.headers.get("Content-Disposition").match(/filename\*=UTF-8''([^;]+)/);
  return new File([await response.blob()], decodeURIComponent(name));
}

/** Say who asks, where no token does. */
const myself = () => (identity.token ? {} : { user_id: identity.user });

async function call(method, path, options) {
  const text = await (await request(method, path, options)).text();
  return JSON.parse(text, (name, value) => (name === "url" ? here(value) : value));
}

// Links into the service's own storage begin with its public URL. This page may have been opened under another name,
// from where the public one is another origin, or out of reach.
const OWN_STORAGE = /^.*\/(?=storage\/[^?]*\?(.*&)?signature=)/;
const here = (link) => link.replace(OWN_STORAGE, ROOT.href);

async function request(method, path, { body, headers, signal, keepalive } = {}) {
  for (let attempt = 1; ; attempt++) {
    const response = await answer(path, {
      method,
      signal,
      keepalive,
      headers: {
        ...(body && { "Content-Type": "application/json" }),
        ...(identity.token && { Authorization: `Bearer ${identity.token}` }),
        ...headers,
      },
      body: body && JSON.stringify(body),
    });
    if (response.ok) return response;
    const problem = new Problem(response.status, await response.json().catch(() => ({})));
    const again =
      attempt < ATTEMPTS &&
      (response.status === 401 ? await signIn(problem) : await permitted(response.headers.get("Retry-After"), signal));
    if (!again) throw problem;
  }
}

async function answer(path, options) {
  try {
    return await fetch(new URL(path, ROOT), options);
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new Unreachable("The server cannot be reached.");
  }
}

/** Resolve to true once the time is over after which a busy service may be asked again. */
async function permitted(retryAfter, signal) {
  const seconds = Number(retryAfter);
  if (retryAfter === null || !(seconds <= LONGEST_WAIT)) return false;
  await new Promise((resolve, reject) => {
    setTimeout(resolve, seconds * 1000);
    signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
  return true;
}

function explanation({ detail, title, errors = {} }) {
  const fields = Object.entries(errors).map(([field, messages]) => `${field}: ${messages.join(" ")}`);
  return fields.join(" ") || detail || title;
}
