import { setImmediate as nextTurn } from 'node:timers/promises'
import sharp from 'sharp'
import { expect, it } from 'vitest'
import { noise } from '../../../test/pictures.ts'
import { createSharpCodec } from './sharp.ts'

const codec = createSharpCodec()
const MIME_TYPES = ['image/png', 'image/jpeg', 'image/webp'] as const
const SOURCES = await Promise.all(
  (['png', 'jpeg', 'webp'] as const).map((format) => noise(121, 79).toFormat(format).toBuffer()),
)

it.each(MIME_TYPES)('makes %s of each format, of the same size', async (mimeType) => {
  for (const source of SOURCES) {
    const bytes = await codec.convert(source, { mimeType, quality: 80 })
    expect(await codec.measure(bytes)).toEqual({ mimeType, width: 121, height: 79 })
  }
})

it('keeps each pixel in a PNG', async () => {
  for (const source of SOURCES) {
    const bytes = await codec.convert(source, { mimeType: 'image/png', quality: 1 })
    const [before, after] = await Promise.all(
      [source, bytes].map((one) => sharp(one).raw().toBuffer()),
    )
    expect(before!.equals(after!)).toBe(true)
  }
})

it.each(['image/jpeg', 'image/webp'] as const)(
  'makes smaller %s of less quality',
  async (mimeType) => {
    const sizes = await Promise.all(
      [1, 30, 85, 95, 100].map(async (quality) => {
        const bytes = await codec.convert(SOURCES[0]!, { mimeType, quality })
        return bytes.length
      }),
    )
    expect(sizes).toEqual(sizes.toSorted((a, b) => a - b))
    expect(new Set(sizes).size).toBe(sizes.length)
  },
)

it('lets white shine through what a JPEG cannot keep transparent', async () => {
  const clear = { r: 200, g: 10, b: 20, alpha: 0 }
  const source = await sharp({ create: { width: 8, height: 8, channels: 4, background: clear } })
    .png()
    .toBuffer()
  const first = async (mimeType: (typeof MIME_TYPES)[number]) => {
    const bytes = await codec.convert(source, { mimeType, quality: 90 })
    return [...(await sharp(bytes).raw().toBuffer()).subarray(0, 4)]
  }
  expect((await first('image/jpeg')).slice(0, 3)).toEqual([255, 255, 255])
  expect(await first('image/png')).toEqual([200, 10, 20, 0])
  expect((await first('image/webp'))[3]).toBe(0)
})

it('turns a picture as it was shown', async () => {
  const turned = await sharp(SOURCES[1]).withMetadata({ orientation: 6 }).toBuffer()
  const bytes = await codec.convert(turned, { mimeType: 'image/png', quality: 90 })
  expect(await codec.measure(bytes)).toMatchObject({ width: 79, height: 121 })
})

it('rejects for what it cannot decode', async () => {
  const [png, , webp] = SOURCES as [Buffer, Buffer, Buffer]
  const damaged = Buffer.from(png).fill(0, 5000, 5100)
  const broken = [damaged, webp.subarray(0, -50), Buffer.from('GIF89a'), Buffer.alloc(0)]
  for (const bytes of broken) {
    const converted = codec.convert(bytes, { mimeType: 'image/png', quality: 90 })
    await expect(converted).rejects.toBeInstanceOf(Error)
  }
})

it('leaves the event loop to others during a picture at 4K', async () => {
  const source = await noise(512, 512).resize(4096).jpeg().toBuffer()
  const turns = { count: 0, end: false }
  const converted = codec
    .convert(source, { mimeType: 'image/jpeg', quality: 80 })
    .finally(() => (turns.end = true))
  for (; !turns.end; turns.count++) await nextTurn()
  expect((await converted).length).toBeGreaterThan(1e5)
  // On the loop it would be one or two.
  expect(turns.count).toBeGreaterThan(100)
})
