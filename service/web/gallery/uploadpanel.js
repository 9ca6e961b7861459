// The uploads of this visit, a row for each.

import { bytes } from "./words.js";

const panel = document.querySelector("#uploads");
const rows = new Map(); // by upload
const WORDS = { waiting: "Waiting", sending: "Uploading", finishing: "Verifying", done: "Done" };

export function showUploads(uploads) {
  uploads.addEventListener("change", ({ detail: upload }) => update(upload, uploads));
  panel.querySelector("#clear-uploads").addEventListener("click", () => {
    uploads.clear();
    for (const [upload, row] of rows) if (!uploads.all.includes(upload)) forget(upload, row);
    summarize(uploads);
  });
}

/** Show an upload that has just been added. */
export function addRow(upload, uploads) {
  const row = document.querySelector("#upload-template").content.firstElementChild.cloneNode(true);
  const { name, size } = upload.file;
  row.querySelector(".name").textContent = name;
  row.querySelector(".size").textContent = bytes(size);
  row.querySelector("progress").setAttribute("aria-label", `Upload of ${name}`);
  button(row, ".cancel", `Cancel ${name}`).addEventListener("click", () => upload.cancel());
  button(row, ".retry", `Retry ${name}`).addEventListener("click", () => uploads.retry(upload));
  rows.set(upload, row);
  panel.querySelector("ol").append(row);
  update(upload, uploads);
}

function button(row, selector, label) {
  const found = row.querySelector(selector);
  found.setAttribute("aria-label", label);
  return found;
}

function update(upload, uploads) {
  const row = rows.get(upload);
  if (!row) return;
  const { state, fraction, problem } = upload;
  if (state === "cancelled") {
    uploads.remove(upload);
    forget(upload, row);
  } else {
    row.dataset.state = state;
    row.querySelector("progress").value = fraction;
    row.querySelector(".state").textContent = problem?.message ?? WORDS[state];
    row.querySelector(".retry").hidden = state !== "failed";
    row.querySelector(".cancel").hidden = !["waiting", "sending", "failed"].includes(state);
  }
  summarize(uploads);
}

function forget(upload, row) {
  if (row.contains(document.activeElement)) panel.querySelector("#clear-uploads").focus();
  row.remove();
  rows.delete(upload);
}

function summarize({ all, unfinished }) {
  const count = (state) => all.filter((each) => each.state === state).length;
  const failed = count("failed");
  panel.hidden = rows.size === 0;
  panel.querySelector("#clear-uploads").hidden = unfinished.length === all.length;
  const summary = `${count("done")} of ${all.length} uploaded${failed ? `, ${failed} failed` : ""}`;
  const status = panel.querySelector("[role=status]");
  if (status.textContent !== summary) status.textContent = summary; // what is the same is not read out again
}
