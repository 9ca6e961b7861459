// BlurHash: a few cosine waves in some thirty characters, for the time until a picture is there.
// https://github.com/woltapp/blurhash/blob/master/Algorithm.md

const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~";

const number = (text) => [...text].reduce((value, digit) => value * 83 + DIGITS.indexOf(digit), 0);
const linear = (byte) => (byte <= 10.31475 ? byte / 3294.6 : ((byte / 255 + 0.055) / 1.055) ** 2.4);
const encoded = (value) => 255 * (value <= 0.0031308 ? value * 12.92 : 1.055 * value ** (1 / 2.4) - 0.055);
const square = (value) => Math.sign(value) * value ** 2;

/** Draw a BlurHash over a whole canvas; what is none leaves the canvas as it was. */
export function draw(canvas, hash) {
  if (!hash || hash.length < 6 || [...hash].some((each) => !DIGITS.includes(each))) return;
  const size = number(hash[0]);
  const [columns, rows] = [(size % 9) + 1, Math.floor(size / 9) + 1];
  if (hash.length !== 4 + 2 * columns * rows) return;
  const context = canvas.getContext("2d");
  context.putImageData(new ImageData(pixels(waves(hash), columns, canvas), canvas.width), 0, 0);
}

/** Return the colours of the waves, linear, row by row. */
function waves(hash) {
  const average = number(hash.slice(2, 6));
  const most = (number(hash[1]) + 1) / 166;
  const colours = [[average >> 16, (average >> 8) & 255, average & 255].map(linear)];
  for (let at = 6; at < hash.length; at += 2) {
    const value = number(hash.slice(at, at + 2));
    const parts = [Math.floor(value / 361), Math.floor(value / 19) % 19, value % 19];
    colours.push(parts.map((part) => square((part - 9) / 9) * most));
  }
  return colours;
}

function pixels(colours, columns, { width, height }) {
  const data = new Uint8ClampedArray(4 * width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const weights = colours.map(
        (_, n) =>
          Math.cos((Math.PI * x * (n % columns)) / width) *
          Math.cos((Math.PI * y * Math.floor(n / columns)) / height),
      );
      const colour = [0, 1, 2].map((part) => colours.reduce((sum, each, n) => sum + each[part] * weights[n], 0));
      data.set([...colour.map(encoded), 255], 4 * (y * width + x));
    }
  }
  return data;
}
