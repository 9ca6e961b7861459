// The pictures, newest first, page after page as they come into view.

import { getImage, listImages } from "./api.js";
import { draw } from "./blurhash.js";
import { beside } from "./neighbours.js";

const AHEAD = "1200px"; // how far below the window the next page is asked for
const NARROWEST = 0.6; // width by height; what is beyond is cropped in the list
const WIDEST = 2.4;

/** Sends "open" with an image's id, and "settled" after each page. */
export class Gallery extends EventTarget {
  #grid = document.querySelector("#grid");
  #more = document.querySelector("#more");
  #status = document.querySelector("#gallery-status");
  #tiles = new Map(); // by image id, in the order of the grid
  #hidden = new Set(); // deleted, though not yet for the service
  #filters = {};
  #cursor = null;
  #loading = null; // what ends the page that is being asked for
  #coming = null; // resolves once that page is there
  #observer = new IntersectionObserver(
    (entries) => entries.some((each) => each.isIntersecting) && this.#next(),
    { rootMargin: AHEAD },
  );

  constructor() {
    super();
    this.#more.addEventListener("click", () => this.#next());
  }

  /** Show what matches, from the newest on. */
  async show(filters) {
    this.#loading?.abort();
    this.#loading = this.#coming = null;
    this.#filters = filters;
    this.#cursor = null;
    this.#tiles.clear();
    this.#grid.replaceChildren();
    document.querySelector("#empty").hidden = true;
    await this.#next();
  }

  /** Show what has come since, in its place. */
  async refresh() {
    if (this.#tiles.size === 0) return this.show(this.#filters);
    const filters = this.#filters;
    const { images } = await listImages(filters);
    if (filters !== this.#filters) return undefined;
    const news = images.every((each) => !this.#tiles.has(each.image_id));
    if (news && images.length > 0) return this.show(filters); // more than a page has come
    let place = this.#grid.firstElementChild;
    for (const image of images) {
      const known = this.#tiles.get(image.image_id);
      if (known) place = known.element.nextElementSibling;
      else this.#add(image, place);
    }
    return undefined;
  }

  get(id) {
    return this.#tiles.get(id)?.image;
  }

  /** Return the id of the image before (-1) or after (1) another, if both are loaded. */
  neighbour(id, step) {
    const way = step > 0 ? "nextElementSibling" : "previousElementSibling";
    let element = this.#tiles.get(id)?.element[way];
    while (element?.hidden) element = element[way];
    return element?.dataset.id;
  }

  /** Return whether nothing comes before (-1) or after (1) an image, as far as that is known. */
  isEnd(id, step) {
    return this.#tiles.has(id) && !this.neighbour(id, step) && (step < 0 || !this.#cursor);
  }

  /** Return the id of the image before (-1) or after (1) another, whether or not these are loaded; or undefined. */
  async beside(image, step) {
    const id = image.image_id;
    while (step > 0 && this.#tiles.has(id) && !this.neighbour(id, step) && this.#cursor) {
      if (!(await this.#next())) throw new Error(this.#status.textContent);
    }
    if (this.#tiles.has(id)) return this.neighbour(id, step);
    return (await beside(this.#filters, image, step, (each) => this.#hidden.has(each)))?.image_id;
  }

  replace(image) {
    const known = this.#tiles.get(image.image_id);
    if (!known) return;
    Object.assign(known.image, image);
    known.element.querySelector("img").alt = image.title;
    known.element.querySelector(".caption").textContent = image.title;
  }

  /** Take an image out of sight; `show` it again, or `forget` it. */
  hide(id, hidden = true) {
    if (hidden) this.#hidden.add(id);
    else this.#hidden.delete(id);
    const known = this.#tiles.get(id);
    if (known) known.element.hidden = hidden;
    this.#settle();
  }

  forget(id) {
    this.#tiles.get(id)?.element.remove();
    this.#tiles.delete(id);
    this.#settle();
  }

  focus(id) {
    this.#tiles.get(id)?.element.querySelector("button").focus();
  }

  /** Load the next page, once however many ask for it; resolves to whether it came. */
  #next() {
    const coming =
      this.#coming ??
      this.#load().finally(() => {
        if (this.#coming === coming) this.#coming = null;
      });
    return (this.#coming = coming);
  }

  async #load() {
    const loading = (this.#loading = new AbortController());
    this.#observer.disconnect();
    this.#more.hidden = true;
    this.#say("Loading …");
    this.#grid.setAttribute("aria-busy", "true");
    try {
      const page = await listImages(this.#filters, this.#cursor, loading.signal);
      for (const image of page.images) if (!this.#tiles.has(image.image_id)) this.#add(image, null);
      this.#cursor = page.next_cursor;
      this.#more.textContent = "Load more";
      this.#more.hidden = !this.#cursor;
      this.#settle();
    } catch (problem) {
      if (loading.signal.aborted) return false;
      this.#say(problem.message, true);
      this.#more.textContent = "Retry";
      this.#more.hidden = false;
      return false;
    } finally {
      if (this.#loading === loading) {
        this.#loading = null;
        this.#grid.removeAttribute("aria-busy");
      }
    }
    if (this.#cursor) this.#observer.observe(this.#more);
    return true;
  }

  #shown() {
    return this.#grid.querySelectorAll("li:not([hidden])");
  }

  #settle() {
    const count = this.#shown().length;
    const end = this.#cursor ? " loaded" : "";
    this.#say(count ? `${count} ${count === 1 ? "image" : "images"}${end}` : "");
    const filtered = Object.keys(this.#filters).length > 0;
    const empty = document.querySelector("#empty");
    empty.hidden = count > 0 || Boolean(this.#cursor);
    empty.querySelector(".when-filtered").hidden = !filtered;
    empty.querySelector(".when-new").hidden = filtered;
    this.dispatchEvent(new Event("settled"));
  }

  #say(message, wrong = false) {
    this.#status.textContent = message;
    this.#status.classList.toggle("wrong", wrong);
  }

  #add(image, place) {
    const element = tile(image, () => this.dispatchEvent(new CustomEvent("open", { detail: image.image_id })));
    element.hidden = this.#hidden.has(image.image_id);
    this.#tiles.set(image.image_id, { image, element });
    this.#grid.insertBefore(element, place);
    this.#settle();
  }
}

function tile(image, open) {
  const element = document.querySelector("#tile-template").content.firstElementChild.cloneNode(true);
  const ratio = Math.min(Math.max(image.width / image.height, NARROWEST), WIDEST);
  element.dataset.id = image.image_id;
  element.style.setProperty("--ratio", ratio.toFixed(4));
  element.querySelector("button").addEventListener("click", open);
  element.querySelector(".caption").textContent = image.title;
  show(image, element.querySelector("img"), element.querySelector("canvas"), ["thumb", "display"]);
  return element;
}

/**
 * Show a picture by these variants, its placeholder until it is there; renew its links once if they are dead. Calls
 * `fail` with why it cannot be shown.
 */
export function show(image, img, canvas, names, fail = () => {}) {
  draw(canvas, image.placeholder);
  img.alt = image.title;
  img.addEventListener("load", () => img.classList.add("there"), { once: true });
  img.addEventListener(
    "error",
    async () => {
      const renewed = await getImage(image.image_id).catch(fail);
      if (renewed) link(Object.assign(image, renewed), img, names);
    },
    { once: true },
  );
  link(image, img, names);
}

function link(image, img, names) {
  const variants = names.map((name) => image.variants?.[name]).filter(Boolean);
  img.srcset = variants.map(({ url, width }) => `${url} ${width}w`).join(", ");
  img.src = variants.at(-1)?.url ?? image.url;
}
