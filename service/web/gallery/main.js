// The page: its address says what is shown, and everything that happens here changes the address or the service.

import { deleteImage, whenUnauthorized } from "./api.js";
import { askToken, askUploader, defaults } from "./dialogs.js";
import { Gallery } from "./gallery.js";
import { identity } from "./identity.js";
import { toast } from "./toasts.js";
import { Uploads } from "./uploads.js";
import { addRow, showUploads } from "./uploadpanel.js";
import { Viewer } from "./viewer.js";

const FILTERS = ["title", "user_id", "tags", "date_from", "date_to"];
const TYPING = 400; // milliseconds of rest after which a filter is meant as it stands

const $ = (selector) => document.querySelector(selector);
const gallery = new Gallery();
const viewer = new Viewer(gallery);
const uploads = new Uploads();

// ---------------------------------------------------------------- the address

const filtersIn = (query) => Object.fromEntries(FILTERS.map((name) => [name, query.get(name)]).filter(([, it]) => it));
const text = (filters) => new URLSearchParams(filters).toString();

let shown = null; // the filters of what the gallery shows

/** Show what the address says. */
async function render() {
  const query = new URLSearchParams(location.search);
  const filters = filtersIn(query);
  if (text(filters) !== shown) {
    shown = text(filters);
    fill(filters);
    const showing = gallery.show(filters);
    if (query.has("image")) await showing; // so that its neighbours are known
  }
  if (query.has("image")) await viewer.show(query.get("image"));
  else if (viewer.open) viewer.close();
}

function go(filters, image, { replace = false } = {}) {
  const query = text({ ...filters, ...(image && { image }) });
  const state = { inside: replace ? history.state?.inside : true }; // whether "back" stays on this page
  history[replace ? "replaceState" : "pushState"](state, "", query ? `?${query}` : location.pathname);
  return render();
}

const current = () => filtersIn(new URLSearchParams(location.search));

addEventListener("popstate", render);

// ---------------------------------------------------------------- filters

const form = $("#filters");

function fill(filters) {
  for (const name of FILTERS) {
    const field = form.elements[name];
    const value = filters[name] ?? "";
    if (field.value.trim() !== value) field.value = value; // whoever is typing may be about to go on
  }
  const count = FILTERS.filter((name) => name !== "title" && filters[name]).length;
  $("#filter-count").textContent = count ? ` (${count})` : "";
  $("#clear-filters").hidden = Object.keys(filters).length === 0;
}

function search() {
  clearTimeout(typing);
  const filters = filtersIn(new Map(FILTERS.map((name) => [name, form.elements[name].value.trim()])));
  if (text(filters) !== shown) go(filters);
}

let typing;
form.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(search, TYPING);
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  search();
});
for (const each of document.querySelectorAll(".clear-filters")) each.addEventListener("click", () => go({}));
$("#toggle-filters").addEventListener("click", ({ currentTarget: button }) => {
  const open = button.getAttribute("aria-expanded") !== "true";
  button.setAttribute("aria-expanded", open);
  $("#more-filters").hidden = !open;
});

// ---------------------------------------------------------------- looking

gallery.addEventListener("open", ({ detail: id }) => go(current(), id));

let stepping = false; // what is pressed until the next picture is found goes nowhere
viewer.addEventListener("step", async ({ detail: step }) => {
  const { image } = viewer;
  if (!image || stepping) return;
  stepping = true;
  try {
    const id = await gallery.beside(image, step);
    if (viewer.image !== image) return; // it was closed meanwhile
    if (id) await go(current(), id, { replace: true });
    else viewer.end(step);
  } catch (problem) {
    viewer.complain(problem.message);
  } finally {
    stepping = false;
  }
});
viewer.addEventListener("search", ({ detail: filters }) => go(filters));
viewer.addEventListener("edited", ({ detail: image }) => gallery.replace(image));
viewer.addEventListener("close", () => {
  const id = new URLSearchParams(location.search).get("image");
  viewer.image = null;
  if (!id) return;
  gallery.focus(id);
  if (history.state?.inside) history.back();
  else go(current(), null, { replace: true });
});

// ---------------------------------------------------------------- deleting

const deleting = new Map(); // by image id: deletes that can still be undone

viewer.addEventListener("delete", async ({ detail: image }) => {
  const id = image.image_id;
  const near = gallery.neighbour(id, 1) ?? gallery.neighbour(id, -1);
  deleting.set(id, () => deleteImage(id, { keepalive: true }));
  viewer.close();
  gallery.hide(id);
  gallery.focus(near);
  if (await toast(`Deleted “${image.title}”.`, "Undo")) {
    deleting.delete(id);
    gallery.hide(id, false);
    gallery.focus(id);
    return;
  }
  const send = deleting.get(id);
  if (!send) return; // the page was left, and came back
  deleting.delete(id);
  try {
    await send();
    gallery.forget(id);
  } catch (problem) {
    if (problem.status === 404) return gallery.forget(id); // somebody else was first
    gallery.hide(id, false);
    toast(`“${image.title}” was not deleted: ${problem.message}`);
  }
});

// Whoever leaves meant it: what could still be undone is done.
addEventListener("pagehide", () => {
  for (const send of deleting.values()) send().catch(() => {});
  deleting.clear();
});

// ---------------------------------------------------------------- uploading

async function upload(files) {
  if (files.length === 0) return;
  if (!identity.user && !identity.token && !(await askUploader())) return;
  for (const file of files) addRow(uploads.add(file, defaults()), uploads);
  tell();
}

let refreshing = false;
let more = false; // have come while the gallery was being refreshed

/** Show what was uploaded, asking the service for one page at a time. */
async function refresh() {
  more = true;
  if (refreshing) return;
  refreshing = true;
  while (more) {
    more = false;
    await gallery.refresh().catch((problem) => toast(problem.message));
  }
  refreshing = false;
}

showUploads(uploads);
uploads.addEventListener("change", ({ detail }) => detail.state === "done" && refresh());
addEventListener("beforeunload", (event) => (uploads.unfinished.length > 0 || viewer.unsaved) && event.preventDefault());

for (const each of document.querySelectorAll(".choose")) each.addEventListener("click", () => $("#files").click());
$("#files").addEventListener("change", ({ currentTarget: input }) => {
  upload([...input.files]);
  input.value = "";
});
$("#who").addEventListener("click", async () => (await askUploader()) && tell());

let inside = 0; // elements that a drag has entered and not left
const dragging = (by) => {
  inside = by === 0 ? 0 : Math.max(inside + by, 0);
  document.body.classList.toggle("dragging", inside > 0);
};
const withFiles = (handle) => (event) => {
  if (!event.dataTransfer?.types.includes("Files")) return;
  event.preventDefault();
  handle(event);
};
addEventListener("dragenter", withFiles(() => dragging(1)));
addEventListener("dragleave", withFiles(() => dragging(-1)));
addEventListener("dragover", withFiles(() => {}));
addEventListener(
  "drop",
  withFiles((event) => {
    dragging(0);
    upload([...event.dataTransfer.files]);
  }),
);

// ---------------------------------------------------------------- who looks, and whether anyone answers

function tell() {
  $("#who span").textContent = identity.user || "Set your name";
  $("#sign-out").hidden = !identity.token;
}

whenUnauthorized(async (problem) => {
  const signedIn = await askToken(problem);
  tell();
  return signedIn;
});
$("#sign-out").addEventListener("click", () => {
  identity.token = "";
  location.reload();
});

const offline = () => ($("#offline").textContent = navigator.onLine ? "" : "You are offline. Uploads resume when you are online again.");
addEventListener("offline", offline);
addEventListener("online", offline);

offline();
tell();
render();
