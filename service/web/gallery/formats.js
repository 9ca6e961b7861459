// The format of a picture, from its first bytes. A browser's `file.type` only repeats the extension of the file name.

const MAGIC = Object.entries({
  "image/jpeg": /^\xff\xd8\xff/,
  "image/png": /^\x89PNG\r\n\x1a\n/,
  "image/gif": /^GIF8[79]a/,
  "image/webp": /^RIFF[^]{4}WEBP/,
  "image/avif": /^[^]{4}ftyp(?:[^]{4}){0,13}avi[fs]/, // among the brands, four bytes each
});

/** Resolve to the media type of a file that the service accepts, or to undefined. Reads 64 bytes. */
export async function sniff(file) {
  const head = String.fromCharCode(...new Uint8Array(await file.slice(0, 64).arrayBuffer()));
  return MAGIC.find(([, magic]) => magic.test(head))?.[0];
}
