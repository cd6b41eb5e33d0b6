import sharp, { type Sharp } from 'sharp'
import { describe, expect, it } from 'vitest'
import { noise, pngOfZeros } from '../../../test/pictures.ts'
import type { ImageMimeType } from '../../ports/image-codec.ts'
import { createSharpCodec } from './sharp.ts'

const codec = createSharpCodec()
const sanitize = (bytes: Uint8Array, maxBytes = 7e6) => codec.sanitize(bytes, { maxBytes })
const pixels = (bytes: Uint8Array) => sharp(bytes).raw().toBuffer({ resolveWithObject: true })
const png = await noise(120, 80).png().toBuffer()
const FORMATS: [ImageMimeType, Buffer][] = [
  ['image/png', png],
  ['image/jpeg', await noise(120, 80).jpeg().toBuffer()],
  ['image/webp', await noise(120, 80).webp().toBuffer()],
]
/** The largest difference between two pictures in any channel of any pixel. */
async function difference(one: Uint8Array, other: Uint8Array): Promise<number> {
  const [a, b] = [await pixels(one), await pixels(other)]
  expect([b.info.width, b.info.height]).toEqual([a.info.width, a.info.height])
  return a.data.reduce((most, value, at) => Math.max(most, Math.abs(value - b.data[at]!)), 0)
}

describe('an image that fits', () => {
  it.each(FORMATS)('stays %s, of the same size', async (mimeType, bytes) => {
    const { bytes: clean, ...rest } = await sanitize(bytes)
    expect(rest).toEqual({ mimeType })
    expect(await codec.measure(clean)).toEqual({ mimeType, width: 120, height: 80 })
  })

  it('keeps each pixel of a PNG', async () => {
    expect(await difference((await sanitize(png)).bytes, png)).toBe(0)
  })

  it.each(FORMATS)('of one pixel is taken as %s', async (mimeType) => {
    const format = mimeType.slice('image/'.length) as 'png' | 'jpeg' | 'webp'
    const one = await noise(1, 1).toFormat(format).toBuffer()
    expect(await codec.measure((await sanitize(one)).bytes)).toMatchObject({ width: 1, height: 1 })
  })

  it.each(['png', 'webp'] as const)('keeps the transparency of a %s', async (format) => {
    const half = { r: 200, g: 10, b: 20, alpha: 0.5 }
    const clear = await sharp({ create: { width: 8, height: 8, channels: 4, background: half } })
      .toFormat(format)
      .toBuffer()
    const { data, info } = await pixels((await sanitize(clear)).bytes)
    expect([info.channels, data[3]]).toEqual([4, 128])
  })

  it('of exactly 50 megapixels is taken', async () => {
    const { bytes } = await sanitize(pngOfZeros(10_000, 5000))
    expect(await codec.measure(bytes)).toMatchObject({ width: 10_000, height: 5000 })
  })
})

describe('colours', () => {
  const plain = (values: number[], space: 'srgb' | 'rgb16' | 'b-w' | 'grey16' | 'cmyk'): Sharp => {
    const [r, g, b] = values as [number, number, number]
    const background = { r, g, b }
    return sharp({ create: { width: 8, height: 8, channels: 3, background } }).toColourspace(space)
  }
  // A colour that CMYK can show.
  const COLOUR = [160, 120, 90]
  const KINDS: [string, Promise<Buffer>][] = [
    ['16 bits a channel', plain(COLOUR, 'rgb16').png().toBuffer()],
    ['CMYK', plain(COLOUR, 'cmyk').jpeg({ quality: 100 }).toBuffer()],
    ['CMYK with its profile', plain(COLOUR, 'cmyk').jpeg().withIccProfile('cmyk').toBuffer()],
    ['a palette', plain(COLOUR, 'srgb').png({ palette: true }).toBuffer()],
  ]

  it.each(KINDS)('of an image with %s come out in sRGB', async (_kind, encoded) => {
    const { bytes } = await sanitize(await encoded)
    const facts = await sharp(bytes).metadata()
    expect(facts).toMatchObject({ space: 'srgb', depth: 'uchar', channels: 3 })
    expect(facts.icc).toBeUndefined()
    const { data } = await pixels(bytes)
    COLOUR.forEach((value, at) => expect(Math.abs(value - data[at]!)).toBeLessThan(20))
  })

  it.each([
    ['8', 'b-w'],
    ['16', 'grey16'],
  ] as const)('of a grey image with %s bits stay grey', async (_bits, space) => {
    const { bytes } = await sanitize(await plain([90, 90, 90], space).png().toBuffer())
    const { data } = await pixels(bytes)
    expect([...data.subarray(0, 3)]).toEqual([90, 90, 90])
  })

  it('are changed, not only relabelled, where another profile meant others', async () => {
    const red = await plain([255, 0, 0], 'srgb').withIccProfile('p3').png().toBuffer()
    const stored = await sharp(red, { ignoreIcc: true }).raw().toBuffer()
    expect([...stored.subarray(0, 3)]).toEqual([234, 51, 34])
    const { data } = await pixels((await sanitize(red)).bytes)
    expect([...data.subarray(0, 3)]).toEqual([255, 0, 0])
  })

  it('of thin lines survive in a JPEG', async () => {
    const rows = Buffer.from(
      Array.from({ length: 64 * 64 * 3 }, (_, at) =>
        Math.floor(at / 3) % 2 === 0 ? [250, 10, 10][at % 3]! : [10, 10, 250][at % 3]!,
      ),
    )
    const lines = await sharp(rows, { raw: { width: 64, height: 64, channels: 3 } })
      .jpeg({ quality: 100, chromaSubsampling: '4:4:4' })
      .toBuffer()
    expect(await difference((await sanitize(lines)).bytes, lines)).toBeLessThan(40)
  })
})

describe('an image that does not fit', () => {
  it('becomes a JPEG', async () => {
    const { bytes, mimeType } = await sanitize(png, 20_000)
    expect(mimeType).toBe('image/jpeg')
    expect(await codec.measure(bytes)).toEqual({ mimeType, width: 120, height: 80 })
    expect(bytes.length).toBeLessThanOrEqual(20_000)
  })

  it('becomes a WebP where it is transparent', async () => {
    const clear = await noise(120, 80).ensureAlpha(0.5).png().toBuffer()
    const { bytes, mimeType } = await sanitize(clear, 20_000)
    expect(mimeType).toBe('image/webp')
    expect((await pixels(bytes)).info.channels).toBe(4)
  })

  it('may take exactly what it may take', async () => {
    const { bytes } = await sanitize(png)
    expect(await sanitize(png, bytes.length)).toMatchObject({ mimeType: 'image/png' })
    expect(await sanitize(png, bytes.length - 1)).toMatchObject({ mimeType: 'image/jpeg' })
  })

  it('is refused where that does not help either, with both figures', async () => {
    const large = await noise(900, 900).png().toBuffer()
    await expect(sanitize(large, 100_000)).rejects.toMatchObject({
      reason: 'too-large',
      message: expect.stringMatching(/^takes 0\.\d MB when encoded; at most 0\.1 fit$/),
    })
  })

  it('is refused as too large where the smaller format cannot hold it', async () => {
    const wide = await noise(17_000, 2).ensureAlpha(0.5).png().toBuffer()
    await expect(sanitize(wide, 100)).rejects.toMatchObject({ reason: 'too-large' })
  })
})

it('waits for its turn, as what is converted does', async () => {
  const own = createSharpCodec({ concurrency: 1 })
  const ended: string[] = []
  const done = (name: string) => () => ended.push(name)
  const as = { mimeType: 'image/png', width: 3000, height: 3000 } as const
  await Promise.all([
    own.encode({ rgba: new Uint8Array(16), width: 2, height: 2 }, as).then(done('first')),
    own.sanitize(png, { maxBytes: 7e6 }).then(done('sanitized')),
    own.convert(png, { mimeType: 'image/webp', quality: 80 }).then(done('converted')),
  ])
  expect(ended[0]).toBe('first')
})

it('decodes pictures from outside one at a time, and paid ones beside them', async () => {
  const own = createSharpCodec()
  const large = pngOfZeros(7000, 3000)
  const ended: string[] = []
  const note = (name: string) => () => void ended.push(name)
  await Promise.all([
    own.sanitize(large, { maxBytes: 7e6 }).then(note('outside')),
    own.sanitize(large, { maxBytes: 7e6 }).then(note('outside')),
    own.convert(png, { mimeType: 'image/webp', quality: 90 }).then(note('paid')),
  ])
  expect(ended[0]).toBe('paid')
})

it('lets a bounded number wait', async () => {
  const own = createSharpCodec()
  const large = pngOfZeros(3000, 1000)
  const all = Array.from({ length: 100 }, () => own.sanitize(large, { maxBytes: 7e6 }))
  const outcomes = await Promise.allSettled(all)
  const refused = outcomes.filter(({ status }) => status === 'rejected')
  expect(refused.length).toBeGreaterThan(0)
  expect(refused.length).toBeLessThanOrEqual(36)
  for (const one of refused) expect(one).toMatchObject({ reason: { reason: 'busy' } })
})
