import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import sharp from 'sharp'
import { describe, expect, it } from 'vitest'
import { noise, pngOfZeros } from '../../../test/pictures.ts'
import { createSharpCodec } from './sharp.ts'

const codec = createSharpCodec()
const of = (bytes: Buffer, sha256: string = randomUUID()) => ({ sha256, read: async () => bytes })
const png = await noise(120, 80).png().toBuffer()
const jpeg = await noise(120, 80).jpeg().toBuffer()
const webp = await noise(120, 80).webp().toBuffer()
const FORMATS: [string, Buffer][] = [
  ['image/png', png],
  ['image/jpeg', jpeg],
  ['image/webp', webp],
]

describe('measure', () => {
  it.each(FORMATS)('finds type and size of %s', async (mimeType, bytes) => {
    expect(await codec.measure(bytes)).toEqual({ mimeType, width: 120, height: 80 })
  })

  it.each(FORMATS)('refuses %s that was cut short, wherever', async (_type, bytes) => {
    const cuts = Array.from({ length: 60 }, (_, i) => Math.floor((bytes.length * i) / 60))
    for (const cut of [...cuts, bytes.length - 12, bytes.length - 2, bytes.length - 1]) {
      expect(await codec.measure(bytes.subarray(0, cut)), `cut at ${cut}`).toBeUndefined()
    }
  })

  it.each(FORMATS)('takes %s with bytes behind its end', async (mimeType, bytes) => {
    const longer = Buffer.concat([bytes, Buffer.from('PK\x03\x04 trailing')])
    expect(await codec.measure(longer)).toMatchObject({ mimeType })
  })

  it('tells a JPEG cut short from the whole thumbnail inside it', async () => {
    const thumbnail = await noise(20, 20).jpeg().toBuffer()
    const app = Buffer.concat([Buffer.of(0xff, 0xe5, 0, 0), thumbnail])
    app.writeUInt16BE(thumbnail.length + 2, 2)
    const both = Buffer.concat([jpeg.subarray(0, 2), app, jpeg.subarray(2)])
    expect(await codec.measure(both)).toMatchObject({ width: 120 })
    expect(await codec.measure(both.subarray(0, -20))).toBeUndefined()
  })

  it('gives the size as it is shown, turned by EXIF', async () => {
    const turned = await sharp(jpeg).withMetadata({ orientation: 6 }).toBuffer()
    expect(await codec.measure(turned)).toMatchObject({ width: 80, height: 120 })
  })

  it.each([
    ['nothing', ''],
    ['text', 'hello'],
    ['HTML', '<!doctype html><script>alert(1)</script>'],
    ['SVG', '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect/></svg>'],
    ['SVG behind an XML head', '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>'],
    ['PDF', '%PDF-1.7'],
    ['a BMP head', `BM${'\0'.repeat(60)}`],
    ['a TIFF head', `II*\0${'\0'.repeat(60)}`],
    ['a PPM', 'P3 1 1 255 0 0 0'],
    ['a lone PNG signature', '\x89PNG\r\n\x1a\n'],
    ['a lone JPEG head', '\xff\xd8\xff\xe0'],
    ['a lone WebP head', 'RIFF\x04\0\0\0WEBP'],
  ])('refuses %s', async (_what, text) => {
    expect(await codec.measure(Buffer.from(text, 'latin1'))).toBeUndefined()
    await expect(codec.thumbnail(of(Buffer.from(text, 'latin1')), 64)).rejects.toBeInstanceOf(Error)
  })

  it('refuses formats that could be decoded but are not ours', async () => {
    const gif = 'R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7'
    const others = [Buffer.from(gif, 'base64'), await noise(9, 9).tiff().toBuffer()]
    for (const bytes of others) expect(await codec.measure(bytes)).toBeUndefined()
  })

  it('refuses a small file of 256 million pixels without decoding it', async () => {
    const bomb = pngOfZeros(16_000, 16_000)
    expect(bomb.length).toBeLessThan(100_000)
    const started = performance.now()
    expect(await codec.measure(bomb)).toBeUndefined()
    await expect(codec.thumbnail(of(bomb), 64)).rejects.toThrow(/pixel limit/)
    expect(performance.now() - started).toBeLessThan(500)
  })

  it('answers for damaged headers without an error', async () => {
    for (const [, bytes] of FORMATS) {
      for (let at = 0; at < 60; at++) {
        const damaged = Buffer.from(bytes)
        damaged[at] = (damaged[at] ?? 0) ^ 0xff
        await codec.measure(damaged)
      }
    }
  })
})

describe('thumbnail', () => {
  it.each(FORMATS)('makes a WebP of %s, of the width asked for', async (_type, bytes) => {
    const small = await codec.thumbnail(of(bytes), 60)
    expect(await codec.measure(small)).toEqual({ mimeType: 'image/webp', width: 60, height: 40 })
  })

  it('never enlarges', async () => {
    const small = await codec.thumbnail(of(png), 1024)
    expect(await codec.measure(small)).toMatchObject({ width: 120, height: 80 })
  })

  it('stands upright and tells nothing of where the picture was taken', async () => {
    const exif = { IFD0: { Copyright: 'me' }, IFD3: { GPSLatitudeRef: 'N' } }
    const turned = await sharp(jpeg).withExif(exif).withMetadata({ orientation: 6 }).toBuffer()
    const small = await codec.thumbnail(of(turned), 40)
    expect(await codec.measure(small)).toMatchObject({ width: 40, height: 60 })
    expect((await sharp(small).metadata()).exif).toBeUndefined()
  })

  it('rejects for a damaged picture', async () => {
    const damaged = Buffer.from(png)
    damaged.fill(0, 5000, 5100)
    await expect(codec.thumbnail(of(damaged), 60)).rejects.toBeInstanceOf(Error)
  })

  it('makes many at once', async () => {
    const all = await Promise.all(Array.from({ length: 12 }, () => codec.thumbnail(of(png), 30)))
    expect(all.every((one) => Buffer.from(one).equals(Buffer.from(all[0]!)))).toBe(true)
  })
})

describe('thumbnails of many', () => {
  it('hold no more originals at once than are decoded', async () => {
    let reading = 0
    let most = 0
    const slow = () => ({
      sha256: randomUUID(),
      async read() {
        most = Math.max(most, ++reading)
        await sleep(5)
        reading--
        return png
      },
    })
    await Promise.all(Array.from({ length: 12 }, () => codec.thumbnail(slow(), 30)))
    expect(most).toBe(2)
  })

  it('do not hold up other work while they are read', async () => {
    const own = createSharpCodec()
    const { promise: opened, resolve: open } = Promise.withResolvers<Buffer>()
    const waiting = [1, 2, 3].map((one) =>
      own.thumbnail({ sha256: String(one), read: () => opened }, 30),
    )
    const rgba = new Uint8Array(8 * 4 * 4)
    await own.encode({ rgba, width: 8, height: 4 }, { mimeType: 'image/png', width: 8, height: 4 })
    open(png)
    expect(await Promise.all(waiting)).toHaveLength(3)
  })

  it('are told apart by original and by width', async () => {
    const original = of(png, 'a')
    const [small, large, other] = await Promise.all([
      codec.thumbnail(original, 30),
      codec.thumbnail(original, 60),
      codec.thumbnail(of(jpeg, 'b'), 30),
    ])
    expect((await codec.measure(small))?.width).toBe(30)
    expect((await codec.measure(large))?.width).toBe(60)
    expect(Buffer.from(other).equals(Buffer.from(small))).toBe(false)
    expect(await codec.thumbnail(of(Buffer.from('not read'), 'a'), 30)).toBe(small)
  })
})

describe('encode', () => {
  const rgba = new Uint8Array(8 * 4 * 4).fill(200)

  it.each(['image/png', 'image/jpeg', 'image/webp'] as const)('makes %s', async (mimeType) => {
    const as = { mimeType, width: 64, height: 48 }
    expect(await codec.measure(await codec.encode({ rgba, width: 8, height: 4 }, as))).toEqual(as)
  })

  it('keeps the colours and drops transparency', async () => {
    const red = Uint8Array.from({ length: 64 }, (_, i) => [250, 10, 20, 0][i % 4]!)
    const as = { mimeType: 'image/png', width: 4, height: 4 } as const
    const bytes = await codec.encode({ rgba: red, width: 4, height: 4 }, as)
    const { data, info } = await sharp(bytes).raw().toBuffer({ resolveWithObject: true })
    expect([info.channels, ...data.subarray(0, 3)]).toEqual([3, 250, 10, 20])
  })
})
