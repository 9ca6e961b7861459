// One picture, large, with what is known of it; its owner edits and deletes it here.

import { download, downloadAddress, editImage, getImage } from "./api.js";
import { show } from "./gallery.js";
import { identity } from "./identity.js";
import { toast } from "./toasts.js";
import { bytes, split } from "./words.js";

const dialog = document.querySelector("#viewer");
const find = (selector) => dialog.querySelector(selector);
const form = find("form");
const FIELDS = ["title", "description", "tags", "visibility"];

/** Return what is typed, to be compared with what was there before, or put back. */
const typed = () => Object.fromEntries(FIELDS.map((name) => [name, form.elements[name].value]));
const type = (texts) => FIELDS.forEach((name) => (form.elements[name].value = texts[name]));

/** Sends "close", "step" (-1 or 1), "delete" and "edited" with the image, "search" with filters. */
export class Viewer extends EventTarget {
  image = null;
  #gallery;
  #wanted = null; // the id of what is shown, or about to be
  #before = {}; // what the form had when editing began
  #drafts = new Map(); // by image id: what was typed, and neither saved nor cancelled

  constructor(gallery) {
    super();
    this.#gallery = gallery;
    dialog.addEventListener("close", () => {
      this.#keep();
      this.#tell("close");
    });
    dialog.addEventListener("cancel", (event) => this.#mayLeave() || event.preventDefault());
    dialog.addEventListener("keydown", (event) => event.key === "Escape" && this.#escape(event));
    // Not on the dialog: a button that becomes useless under the finger loses the focus to the page.
    document.addEventListener("keydown", (event) => dialog.open && this.#key(event));
    dialog.addEventListener("click", (event) => event.target.closest("a[data-search]") && this.#search(event));
    find("#previous").addEventListener("click", () => this.#step(-1));
    find("#next").addEventListener("click", () => this.#step(1));
    find("#close-viewer").addEventListener("click", () => this.#mayLeave() && dialog.close());
    find("#delete").addEventListener("click", () => this.#tell("delete", this.image));
    find("#edit").addEventListener("click", () => this.#edit(true));
    find("#cancel-edit").addEventListener("click", () => this.#edit(false));
    form.addEventListener("submit", (event) => this.#save(event));
    find("#download").addEventListener("click", (event) => this.#download(event));
  }

  get open() {
    return dialog.open;
  }

  /** Show an image by its id, whether or not the gallery has it. */
  async show(id) {
    if (!dialog.open) dialog.showModal();
    if (this.image?.image_id === id) return;
    this.#keep();
    this.image = null;
    this.#wanted = id;
    this.complain("");
    const known = this.#gallery.get(id);
    try {
      const image = known ?? (await getImage(id));
      if (dialog.open && this.#wanted === id) this.#fill(image);
    } catch (problem) {
      if (this.#wanted === id) this.complain(problem.message);
    }
  }

  /** Say that nothing comes before (-1) or after (1) the image. */
  end(step) {
    find(step < 0 ? "#previous" : "#next").disabled = true;
  }

  complain(message) {
    find("[role=alert]").textContent = message;
  }

  /** Return whether something was typed here that nobody has saved yet. */
  get unsaved() {
    return this.#drafts.size > 0 || this.#isChanged();
  }

  close() {
    this.#keep();
    this.image = null;
    dialog.close();
  }

  #tell(what, detail) {
    this.dispatchEvent(new CustomEvent(what, { detail }));
  }

  #fill(image) {
    this.image = image;
    const frame = find("#frame");
    frame.replaceChildren(document.querySelector("#picture-template").content.cloneNode(true));
    frame.style.setProperty("--ratio", image.width / image.height);
    frame.style.setProperty("--width", image.width);
    show(image, frame.querySelector("img"), frame.querySelector("canvas"), ["display"], ({ message }) => {
      if (this.image === image) this.complain(message);
    });
    this.#describe();
    const id = image.image_id;
    find("#download").href = downloadAddress(id);
    for (const step of [-1, 1]) find(step < 0 ? "#previous" : "#next").disabled = this.#gallery.isEnd(id, step);
    const mine = Boolean(identity.user) && image.user_id === identity.user;
    for (const name of ["#edit", "#delete"]) find(name).hidden = !mine;
    this.#edit(mine && this.#drafts.has(id), false);
  }

  #describe() {
    const { title, description, tags, user_id: user, created_at, width, height, file_size } = this.image;
    find("#viewer-title").textContent = title;
    find("#description").textContent = description;
    find("#tags").replaceChildren(...tags.map((tag) => listed(searching(tag, { tags: tag }))));
    const day = new Date(created_at).toLocaleDateString(undefined, { dateStyle: "long" });
    const size = `${width}\u00a0×\u00a0${height}, ${bytes(file_size)}`;
    find("#facts").replaceChildren(searching(user, { user_id: user }), ` · ${day} · ${size}`);
  }

  #search(event) {
    event.preventDefault();
    this.#tell("search", Object.fromEntries(new URLSearchParams(event.target.search)));
  }

  #key(event) {
    if (event.target.matches("input, textarea, select") || event.altKey || event.ctrlKey || event.metaKey) return;
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) this.#step(step);
  }

  #step(step) {
    if (this.#mayLeave()) this.#tell("step", step);
  }

  /** Leave the form first, and only where nothing that was typed is lost. */
  #escape(event) {
    if (form.hidden || event.isComposing) return;
    event.preventDefault();
    if (this.#mayLeave()) this.#edit(false);
  }

  #isChanged() {
    const now = typed();
    return Boolean(this.image) && !form.hidden && FIELDS.some((name) => now[name] !== this.#before[name]);
  }

  #mayLeave() {
    if (!this.#isChanged()) return true;
    this.complain("Your changes are not saved: save or cancel them.");
    return false;
  }

  /** Keep what was typed for the next time that the image is shown: whoever goes back with the browser is not asked. */
  #keep() {
    if (!this.#isChanged()) return;
    this.#drafts.set(this.image.image_id, typed());
    toast(`Your changes to “${this.image.title}” are not saved. To continue editing, open it again.`);
  }

  #edit(editing, focus = true) {
    form.hidden = !editing;
    find("#details").hidden = editing;
    this.complain("");
    const id = this.image.image_id;
    if (editing) {
      const { title, description, tags, visibility } = this.image;
      type({ title, description, tags: tags.join(", "), visibility: visibility ?? "private" });
      this.#before = typed();
      find("#edit-visibility").hidden = !identity.token;
      if (this.#drafts.has(id)) type(this.#drafts.get(id));
      form.elements.title.focus();
    } else if (focus) {
      find("#edit").focus();
    }
    this.#drafts.delete(id);
  }

  async #save(event) {
    event.preventDefault();
    const { title, description, tags, visibility } = form.elements;
    const changes = { title: title.value, description: description.value, tags: split(tags.value) };
    if (identity.token) changes.visibility = visibility.value;
    try {
      Object.assign(this.image, await editImage(this.image.image_id, changes));
    } catch (problem) {
      this.complain(problem.message);
      return;
    }
    this.#tell("edited", this.image);
    this.#describe();
    find("#frame img").alt = this.image.title;
    this.#edit(false);
  }

  async #download(event) {
    if (!identity.token) return; // the link does it
    event.preventDefault();
    try {
      const file = await download(this.image.image_id);
      const address = URL.createObjectURL(file);
      Object.assign(document.createElement("a"), { href: address, download: file.name }).click();
      setTimeout(() => URL.revokeObjectURL(address), 60_000); // when the browser has surely taken it over
    } catch (problem) {
      this.complain(problem.message);
    }
  }
}

function searching(text, filters) {
  const link = Object.assign(document.createElement("a"), { textContent: text, href: `?${new URLSearchParams(filters)}` });
  link.dataset.search = "";
  return link;
}

function listed(element) {
  const item = document.createElement("li");
  item.append(element);
  return item;
}
