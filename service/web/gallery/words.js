// How the page reads and writes a few things.

/** Return the tags in what somebody has typed. */
export const split = (text) =>
  text
    .split(",")
    .map((tag) => tag.trim())
    .filter(Boolean);

/** Return a size as people read it. */
export function bytes(count) {
  const [size, unit] = count < 1e6 ? [count / 1e3, "kB"] : [count / 1e6, "MB"];
  return `${size.toLocaleString(undefined, { maximumSignificantDigits: 2 })} ${unit}`;
}
