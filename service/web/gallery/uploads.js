// Direct uploads: ask for a link, send the bytes straight into storage, say that they are there.

import { Problem, Unreachable, beginUpload, cancelUpload, completeUpload, signUpload } from "./api.js";
import { sniff } from "./formats.js";

const AT_ONCE = 4;
const THERE_ALREADY = 412; // the storage has these bytes: only its answer was lost

/** One file on its way. `state`: waiting, sending, finishing, done, failed, cancelled. Each step is a "change". */
export class Upload extends EventTarget {
  state = "waiting";
  fraction = 0;
  problem = null;
  #details;
  #key = randomKey();
  #id = null;
  #link = null; // good for one attempt
  #sent = false;
  #abort = new AbortController();

  constructor(file, details) {
    super();
    this.file = file;
    this.#details = {
      ...details,
      title: details.title || untitled(file.name),
      filename: file.name,
      file_size: file.size,
    };
  }

  /** Do what is left to do. Never rejects: the state tells how it ended. */
  async run() {
    const { signal } = this.#abort;
    this.#become("sending");
    try {
      if (!this.#id) await this.#begin(signal);
      if (!this.#sent) await this.#send(signal);
      this.#become("finishing");
      await completeUpload(this.#id, signal);
      this.#become("done");
    } catch (problem) {
      if (signal.aborted) return;
      this.#learn(problem);
      this.problem = problem;
      this.#become("failed");
    }
  }

  retry() {
    this.problem = null;
    this.#become("waiting");
  }

  /** Give it up, also on the server. What cannot be told to it now, it sweeps later. */
  cancel() {
    this.#abort.abort();
    this.#become("cancelled");
    if (this.#id) cancelUpload(this.#id).catch(() => {});
  }

  get finished() {
    return ["done", "failed", "cancelled"].includes(this.state);
  }

  async #begin(signal) {
    const content_type = await sniff(this.file);
    if (!content_type) throw new Problem(415, { detail: "This is not a JPEG, PNG, GIF, WebP or AVIF image." });
    const { image_id, upload } = await beginUpload({ ...this.#details, content_type }, this.#key, signal);
    this.#id = image_id;
    this.#link = upload;
  }

  async #send(signal) {
    let status = await this.#attempt(signal);
    if (status === 403) status = await this.#attempt(signal); // it had expired: once more, by a new link
    if (status >= 300 && status !== THERE_ALREADY) {
      throw new Problem(status, { detail: `The storage rejected the file (status ${status}).` });
    }
    this.#sent = true;
  }

  async #attempt(signal) {
    const link = this.#link ?? (await signUpload(this.#id, signal)).upload;
    this.#link = null;
    return put(link, this.file, signal, (fraction) => this.#progress(fraction));
  }

  /** What was refused for good is begun anew by a retry; everything else goes on where it was. */
  #learn({ status, code }) {
    if (code === "upload_missing") this.#sent = false;
    else if (status >= 400 && status < 500 && ![401, 403, 429].includes(status)) {
      this.#key = randomKey();
      this.#id = this.#link = null;
      this.#sent = false;
    }
  }

  #progress(fraction) {
    this.fraction = fraction;
    this.dispatchEvent(new Event("change"));
  }

  #become(state) {
    this.state = state;
    this.#progress(state === "done" ? 1 : state === "finishing" ? this.fraction : 0);
  }
}

/** All uploads of this visit; some at a time. Each change of any of them is a "change". */
export class Uploads extends EventTarget {
  all = [];
  #running = 0;

  constructor() {
    super();
    addEventListener("online", () => {
      for (const each of this.all) if (each.problem instanceof Unreachable) this.retry(each);
    });
  }

  add(file, details) {
    const upload = new Upload(file, details);
    upload.addEventListener("change", () => this.dispatchEvent(new CustomEvent("change", { detail: upload })));
    this.all.push(upload);
    this.#next();
    return upload;
  }

  retry(upload) {
    upload.retry();
    this.#next();
  }

  remove(upload) {
    this.all = this.all.filter((each) => each !== upload);
  }

  /** Forget those that are over. */
  clear() {
    this.all = this.all.filter((each) => !each.finished);
  }

  get unfinished() {
    return this.all.filter((each) => !each.finished);
  }

  #next() {
    const waiting = this.all.find((each) => each.state === "waiting");
    if (!waiting || this.#running === AT_ONCE) return;
    this.#running++;
    waiting.run().finally(() => {
      this.#running--;
      this.#next();
    });
    this.#next();
  }
}

/** Send a file as its link asks; resolves to the storage's status. `fetch` could not tell how far it is. */
function put({ method, url, headers }, file, signal, onProgress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, url);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = ({ loaded, total }) => onProgress(total ? loaded / total : 0);
    request.onload = () => resolve(request.status);
    request.onerror = () => reject(new Unreachable("The connection was lost."));
    request.onabort = () => reject(signal.reason);
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(file);
  });
}

const untitled = (filename) => [...filename.replace(/\.[^.]+$/, "")].slice(0, 200).join("") || filename;

// crypto.randomUUID is there on secure origins only.
const randomKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((each) => each.toString(16)).join("-");
