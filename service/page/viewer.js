// One picture, large, with what is known of it; its owner edits and deletes it here.

import { download, downloadAddress, editImage, getImage } from "./api.js";
import { show } from "./gallery.js";
import { identity } from "./identity.js";
import { bytes, split } from "./words.js";

const dialog = document.querySelector("#viewer");
const find = (selector) => dialog.querySelector(selector);

/** Sends "close", "step" (-1 or 1), "delete" and "edited" with the image, "search" with filters. */
export class Viewer extends EventTarget {
  image = null;
  #gallery;

  constructor(gallery) {
    super();
    this.#gallery = gallery;
    dialog.addEventListener("close", () => this.#tell("close"));
    // Not on the dialog: a button that becomes useless under the finger loses the focus to the page.
    document.addEventListener("keydown", (event) => dialog.open && this.#key(event));
    dialog.addEventListener("click", (event) => event.target.closest("a[data-search]") && this.#search(event));
    find("#previous").addEventListener("click", () => this.#tell("step", -1));
    find("#next").addEventListener("click", () => this.#tell("step", 1));
    find("#close-viewer").addEventListener("click", () => dialog.close());
    find("#delete").addEventListener("click", () => this.#tell("delete", this.image));
    find("#edit").addEventListener("click", () => this.#edit(true));
    find("#cancel-edit").addEventListener("click", () => this.#edit(false));
    find("form").addEventListener("submit", (event) => this.#save(event));
    find("#download").addEventListener("click", (event) => this.#download(event));
  }

  get open() {
    return dialog.open;
  }

  /** Show an image by its id, whether or not the gallery has it. */
  async show(id) {
    if (!dialog.open) dialog.showModal();
    if (this.image?.image_id === id) return;
    this.image = null;
    this.#complain("");
    const known = this.#gallery.get(id);
    try {
      const image = known ?? (await getImage(id));
      if (dialog.open) this.#fill(image);
    } catch (problem) {
      this.#complain(problem.message);
    }
  }

  close() {
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
    show(image, frame.querySelector("img"), frame.querySelector("canvas"), ["display"]);
    this.#describe();
    const id = image.image_id;
    find("#download").href = downloadAddress(id);
    find("#download").download = image.filename;
    find("#previous").disabled = !this.#gallery.neighbour(id, -1);
    find("#next").disabled = !this.#gallery.neighbour(id, 1);
    const mine = Boolean(identity.user) && image.user_id === identity.user;
    for (const name of ["#edit", "#delete"]) find(name).hidden = !mine;
    this.#edit(false, false);
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
    if (step) this.#tell("step", step);
  }

  #edit(editing, focus = true) {
    find("form").hidden = !editing;
    find("#details").hidden = editing;
    this.#complain("");
    if (editing) {
      const { title, description, tags, visibility } = this.image;
      Object.assign(find("form").elements.title, { value: title });
      Object.assign(find("form").elements.description, { value: description });
      Object.assign(find("form").elements.tags, { value: tags.join(", ") });
      find("#edit-visibility").hidden = !identity.token;
      Object.assign(find("form").elements.visibility, { value: visibility ?? "private" });
      find("form").elements.title.focus();
    } else if (focus) {
      find("#edit").focus();
    }
  }

  async #save(event) {
    event.preventDefault();
    const { title, description, tags, visibility } = find("form").elements;
    const changes = { title: title.value, description: description.value, tags: split(tags.value) };
    if (identity.token) changes.visibility = visibility.value;
    try {
      Object.assign(this.image, await editImage(this.image.image_id, changes));
    } catch (problem) {
      this.#complain(problem.message);
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
      const address = URL.createObjectURL(await download(this.image.image_id));
      Object.assign(document.createElement("a"), { href: address, download: this.image.filename }).click();
      setTimeout(() => URL.revokeObjectURL(address), 60_000); // when the browser has surely taken it over
    } catch (problem) {
      this.#complain(problem.message);
    }
  }

  #complain(message) {
    find("[role=alert]").textContent = message;
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
