// The images beside one that the list has not come to: found by their time, in a few questions at any distance.

import { listImages } from "./api.js";

const SECOND = 1000; // milliseconds
const DAY = 24 * 3600 * SECOND;
const FURTHER = 8; // times as far each time, so that ten years are nine steps

/** Return the nearest image that comes before (-1) or after (1) another in a list, newest first; or undefined. */
export const beside = (filters, image, step, passed) => (step > 0 ? older : newer)(filters, image, passed);

async function older(filters, image, passed) {
  const time = Date.parse(image.created_at);
  if (begin(filters) > time) return undefined;
  const date_to = end(filters) <= time ? filters.date_to : image.created_at;
  for await (const each of listed({ ...filters, date_to })) {
    if (comesAfter(each, image) && !passed(each.image_id)) return each;
  }
  return undefined;
}

async function newer(filters, image, passed) {
  const from = Math.max(Date.parse(image.created_at), begin(filters));
  for (let span = SECOND; from < end(filters); span *= FURTHER) {
    const last = from + span >= end(filters);
    const date_to = last ? filters.date_to : new Date(from + span).toISOString();
    const bounds = { date_from: new Date(from).toISOString(), ...(date_to && { date_to }) };
    let nearest;
    for await (const each of listed({ ...filters, ...bounds })) {
      if (!comesAfter(image, each)) break;
      if (!passed(each.image_id)) nearest = each;
    }
    if (nearest || last) return nearest;
  }
  return undefined;
}

async function* listed(filters) {
  let cursor = null;
  do {
    const page = await listImages(filters, cursor);
    yield* page.images;
    cursor = page.next_cursor;
  } while (cursor);
}

const key = ({ created_at, image_id }) => `${created_at} ${image_id}`;
const comesAfter = (image, other) => key(image) < key(other);

/** Return when the filters' time begins, and ends; a bare day lasts to its end, and nothing is newer than now. */
const begin = ({ date_from }) => Date.parse(date_from) || -Infinity;
const end = ({ date_to }) => (Date.parse(date_to) || Date.now()) + (date_to?.length > 10 ? 1 : DAY);
