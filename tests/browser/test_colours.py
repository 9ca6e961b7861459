"""A variant looks like its original, in a browser that knows how originals look."""

from struct import pack

from playwright.async_api import Browser

from service.media import develop, sniff
from tests import colours
from tests.colours import LINEAR, P3, SRGB, avif, chrm, cicp, gama, iccp, saved, shades
from tests.pictures import base64_of, chunk

# Draws both on white and on black, and returns how far off samples are on average, of 255.
COMPARE = """pairs => Promise.all(pairs.map(async pair => {
  const drawn = await Promise.all(pair.map(async url => {
    const image = new Image();
    image.src = url;
    await image.decode();
    return ['white', 'black'].map(ground => {
      const context = new OffscreenCanvas(image.width, image.height).getContext('2d');
      context.fillStyle = ground;
      context.fillRect(0, 0, image.width, image.height);
      context.drawImage(image, 0, 0);
      return context.getImageData(0, 0, image.width, image.height).data;
    });
  }));
  let off = 0;
  const [original, variant] = drawn;
  for (const ground of [0, 1])
    original[ground].forEach((value, at) => { off += Math.abs(value - variant[ground][at]); });
  return off / (original[0].length * 2 * 3 / 4);
}))"""

GREY = colours.grey(colours.power(1.8))
PICTURES = {
    **{f"PNG of {depth} grey bits": shades(depth) for depth in (1, 2, 4, 8, 16)},
    **{
        f"PNG of {depth} grey bits, one transparent": shades(depth, chunk(b"tRNS", pack(">H", (2**depth - 1) // 3)))
        for depth in (1, 2, 4, 8)
    },
    "PNG of 16 grey bits, one transparent": shades(16, chunk(b"tRNS", pack(">H", round(65535 * 40 / 127)))),
    "PNG of 16 grey bits with alpha": shades(16, alpha=True),
    "PNG of 16 bits": colours.colours(16),
    "PNG of greys, with their profile": shades(8, iccp(GREY)),
    "PNG of greys with alpha, with their profile": shades(8, iccp(GREY), alpha=True),
    "PNG of greys, with a profile of colours": shades(8, iccp(LINEAR)),
    "PNG of colours, with a profile of greys": colours.colours(8, iccp(GREY)),
    **{f"{kind}, Display P3": saved(kind, icc_profile=P3) for kind in ("JPEG", "PNG", "WEBP", "AVIF")},
    **{f"{kind}, linear": saved(kind, icc_profile=LINEAR) for kind in ("JPEG", "PNG", "WEBP", "AVIF")},
    "JPEG, sRGB": saved("JPEG", icc_profile=SRGB),
    "JPEG of greys, with their profile": saved("JPEG", "L", icc_profile=GREY),
    "JPEG for print": saved("JPEG", "CMYK"),
    "JPEG for print, with its profile": saved("JPEG", "CMYK", icc_profile=colours.INK),
    "JPEG of colours, with a profile for print": saved("JPEG", icc_profile=colours.INK),
    "GIF": saved("GIF"),
    "PNG, gamma of 1": colours.colours(8, gama(1)),
    "PNG, gamma of 1/1.6": colours.colours(8, gama(0.625)),
    "PNG of 16 bits, gamma of 1": colours.colours(16, gama(1)),
    "PNG, gamma of 1 and sRGB": colours.colours(8, gama(1), colours.srgb()),
    "PNG, chromaticities alone": colours.colours(8, colours.CHRM_OF_P3),
    "PNG, chromaticities and gamma": colours.colours(8, colours.CHRM_OF_P3, gama(0.45455)),
    "PNG, another white": colours.colours(
        8, chrm((0.4476, 0.4074), (0.64, 0.33), (0.3, 0.6), (0.15, 0.06)), gama(0.5)
    ),
    "PNG, profile before gamma": colours.colours(8, iccp(P3), gama(1)),
    "PNG, numbers before profile": colours.colours(8, cicp(1, 8), iccp(P3)),
    "PNG, numbers that mean nothing": colours.colours(8, cicp(1, 200), gama(1)),
    **{f"PNG, primaries {each}": colours.colours(8, cicp(each, 13)) for each in (4, 5, 6, 8, 9, 10, 11, 12, 22)},
    **{f"PNG, transfer {each}": colours.colours(8, cicp(1, each)) for each in (1, 4, 5, 7, 8, 14, 17)},
    **{f"AVIF, primaries {each}": avif(each, 13) for each in (0, 1, 2, 4, 5, 6, 8, 9, 10, 11, 12, 22)},
    **{f"AVIF, transfer {each}": avif(1, each) for each in (1, 2, 4, 5, 6, 7, 8, 14, 17)},
}


async def test_a_variant_looks_like_its_original(chromium: Browser) -> None:
    pairs = [
        [original, develop(original, max_pixels=10**6, encoding="webp").variants["display"].data]
        for original in PICTURES.values()
    ]
    urls = [[f"data:{sniff(each)};base64,{base64_of(each)}" for each in pair] for pair in pairs]
    page = await chromium.new_page()
    try:
        off = dict(zip(PICTURES, await page.evaluate(COMPARE, urls), strict=True))
    finally:
        await page.close()
    assert {name: mean for name, mean in off.items() if mean >= 4} == {}
