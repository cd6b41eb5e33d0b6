import * as fc from 'fast-check'
import sharp from 'sharp'
import { describe, expect, it } from 'vitest'
import { noise, pngChunk, pngOfZeros, withChunks } from '../../../test/pictures.ts'
import { UnusableImageError } from '../../ports/image-codec.ts'
import { createSharpCodec } from './sharp.ts'

const codec = createSharpCodec()
const sanitize = (bytes: Uint8Array) => codec.sanitize(bytes, { maxBytes: 7e6 })
const failure = (bytes: Uint8Array): Promise<unknown> =>
  sanitize(bytes).then(
    () => undefined,
    (error: unknown) => error,
  )
const png = await noise(60, 40).png().toBuffer()
const jpeg = await noise(60, 40).jpeg().toBuffer()
const progressive = await noise(60, 40).jpeg({ progressive: true }).toBuffer()
const webp = await noise(60, 40).webp().toBuffer()
const lossless = await noise(60, 40).ensureAlpha(0.5).webp({ lossless: true }).toBuffer()
const WHOLE: [string, Buffer][] = [
  ['a PNG', png],
  ['a JPEG', jpeg],
  ['a progressive JPEG', progressive],
  ['a WebP', webp],
  ['a lossless WebP with transparency', lossless],
]

describe('refuses', () => {
  const box = (brand: string) => `\0\0\0\x18ftyp${brand}\0\0\0\0mif1heic${'\0'.repeat(200)}`

  it.each([
    ['nothing', ''],
    ['text', 'hello'],
    ['HTML', '<!doctype html><script>alert(1)</script>'],
    ['SVG', '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect/></svg>'],
    ['SVG behind an XML head', '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>'],
    [
      'SVG that asks for a file',
      '<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    ],
    ['PDF', '%PDF-1.7\n1 0 obj\n<<>>\nendobj'],
    ['a BMP', `BM${'\0'.repeat(60)}`],
    ['a HEIC', box('heic')],
    ['an AVIF', box('avif')],
    ['a ZIP', 'PK\x03\x04'],
    ['a PPM', 'P3 1 1 255 0 0 0'],
    ['a lone PNG signature', '\x89PNG\r\n\x1a\n'],
    ['a lone JPEG head', '\xff\xd8\xff\xe0'],
    ['a lone WebP head', 'RIFF\x04\0\0\0WEBP'],
  ])('%s', async (_what, text) => {
    expect(await failure(Buffer.from(text, 'latin1'))).toMatchObject({
      name: 'UnusableImageError',
      reason: 'unreadable',
      message: 'is not a readable PNG, JPEG or WebP',
    })
  })

  it.each(['gif', 'tiff', 'avif'] as const)('a whole %s', async (format) => {
    const bytes = await noise(9, 9).toFormat(format).toBuffer()
    expect(await failure(bytes)).toMatchObject({ reason: 'unreadable' })
  })

  it('a small file of 256 million pixels, and says so', async () => {
    const bomb = pngOfZeros(16_000, 16_000)
    expect(bomb.length).toBeLessThan(100_000)
    expect(await failure(bomb)).toMatchObject({
      reason: 'too-large',
      message: 'has 256 megapixels; at most 50 are taken',
    })
  })

  it('a picture a row too large, with figures that differ', async () => {
    expect(await failure(pngOfZeros(10_000, 5001))).toMatchObject({
      message: 'has 51 megapixels; at most 50 are taken',
    })
  })

  it('a PNG of as many pixels as its header can name', async () => {
    const head = Buffer.from(png)
    head.writeUInt32BE(0x7fffffff, 16)
    head.writeUInt32BE(0x7fffffff, 20)
    const bytes = Buffer.concat([
      head.subarray(0, 8),
      pngChunk('IHDR', head.subarray(16, 29)),
      head.subarray(33),
    ])
    expect(await failure(bytes)).toBeInstanceOf(UnusableImageError)
  })

  it('a moving WebP', async () => {
    const frames = await Promise.all([noise(9, 9), noise(9, 9)].map((one) => one.png().toBuffer()))
    const moving = await sharp(frames, { join: { animated: true } })
      .webp()
      .toBuffer()
    expect(await failure(moving)).toMatchObject({
      reason: 'unreadable',
      message: 'is animated; only still images are taken',
    })
  })

  it('a moving PNG', async () => {
    const control = Buffer.alloc(8)
    control.writeUInt32BE(2, 0)
    const moving = withChunks(png, pngChunk('acTL', control))
    expect(await failure(moving)).toMatchObject({
      message: 'is animated; only still images are taken',
    })
  })

  it('a PNG that is damaged inside', async () => {
    const damaged = Buffer.from(png).fill(0, 2000, 2100)
    expect(await failure(damaged)).toMatchObject({ reason: 'unreadable' })
  })
})

describe('leaves nothing of a file but its pixels:', () => {
  const TRAILERS: [string, string][] = [
    ['a ZIP', `PK\x03\x04${'x'.repeat(40)}PK\x05\x06${'\0'.repeat(18)}`],
    ['HTML', '<html><script>alert(1)</script></html>'],
    ['markers of a JPEG', '\xff\xd9\xff\xda secret \xff\xda'],
  ]

  it.each(WHOLE.flatMap(([what, bytes]) => TRAILERS.map((one) => [what, ...one, bytes] as const)))(
    '%s with %s behind its end',
    async (_what, _behind, trailer, bytes) => {
      const both = Buffer.concat([bytes, Buffer.from(trailer, 'latin1')])
      const [clean, plain] = [await sanitize(both), await sanitize(bytes)]
      expect(Buffer.from(clean.bytes).equals(plain.bytes)).toBe(true)
    },
  )

  it.each(['png', 'jpeg', 'webp'] as const)(
    'a %s that says where it was taken, and stands on its side',
    async (format) => {
      const source = await noise(60, 40)
        .toFormat(format)
        .withExif({
          IFD0: { Copyright: 'secret owner' },
          IFD3: { GPSLatitudeRef: 'N', GPSLatitude: '51/1 30/1 3230/100' },
        })
        .withXmp('<x:xmpmeta xmlns:x="adobe:ns:meta/"><secret>owner</secret></x:xmpmeta>')
        .withIccProfile('p3')
        .withMetadata({ orientation: 6 })
        .toBuffer()
      expect(source.toString('latin1')).toContain('secret')
      const { bytes } = await sanitize(source)
      const facts = await sharp(bytes).metadata()
      expect(facts).toMatchObject({ width: 40, height: 60 })
      for (const name of ['exif', 'xmp', 'icc', 'iptc', 'orientation', 'comments'] as const)
        expect(facts[name], name).toBeUndefined()
      expect(Buffer.from(bytes).toString('latin1')).not.toMatch(/secret|Exif|xmpmeta|ICC/)
    },
  )

  it('a PNG with words in it', async () => {
    const worded = withChunks(png, pngChunk('tEXt', Buffer.from('Comment\0secret words')))
    const { bytes } = await sanitize(worded)
    expect(Buffer.from(bytes).toString('latin1')).not.toMatch(/secret|tEXt/)
  })

  it('a JPEG with words and another picture in it', async () => {
    const segment = (marker: number, data: Buffer): Buffer => {
      const head = Buffer.of(0xff, marker, 0, 0)
      head.writeUInt16BE(data.length + 2, 2)
      return Buffer.concat([head, data])
    }
    const more = [segment(0xfe, Buffer.from('secret words')), segment(0xe5, jpeg)]
    const both = Buffer.concat([jpeg.subarray(0, 2), ...more, jpeg.subarray(2)])
    const [clean, plain] = [await sanitize(both), await sanitize(jpeg)]
    expect(Buffer.from(clean.bytes).equals(plain.bytes)).toBe(true)
  })
})

describe('of whatever bytes', () => {
  it.each(WHOLE)('takes %s cut short only where no pixel is lost', async (_what, bytes) => {
    const plain = await sanitize(bytes)
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: bytes.length - 1 }), async (length) => {
        const found = await sanitize(bytes.subarray(0, length)).catch((error: unknown) => error)
        if (found instanceof UnusableImageError) return found.reason === 'unreadable'
        const { bytes: clean } = found as { bytes: Uint8Array }
        return length >= bytes.length - 12 && Buffer.from(clean).equals(plain.bytes)
      }),
      { numRuns: 60, examples: [1, 2, 4, 11, 12, 13].map((missing) => [bytes.length - missing]) },
    )
  })

  it.each(WHOLE)('either refuses or encodes %s with changed bytes', async (_what, bytes) => {
    const change = fc.tuple(fc.nat({ max: bytes.length - 1 }), fc.nat({ max: 255 }))
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 6 }), async (changes) => {
        const changed = Buffer.from(bytes)
        for (const [at, value] of changes) changed[at] = value
        const found = await sanitize(changed).catch((error: unknown) => error)
        if (found instanceof UnusableImageError) return !/[/\\]|vips/i.test(found.message)
        return (await codec.measure((found as { bytes: Uint8Array }).bytes)) !== undefined
      }),
      { numRuns: 60 },
    )
  })

  it('refuses noise, with and without a head', async () => {
    const heads = ['', '\x89PNG\r\n\x1a\n', '\xff\xd8\xff\xe0', 'RIFF\xff\0\0\0WEBPVP8 ', 'GIF89a']
    const bytes = fc.tuple(fc.constantFrom(...heads), fc.uint8Array({ maxLength: 300 }))
    await fc.assert(
      fc.asyncProperty(bytes, async ([head, rest]) => {
        const error = await failure(Buffer.concat([Buffer.from(head, 'latin1'), rest]))
        return error instanceof UnusableImageError
      }),
      { numRuns: 200 },
    )
  })
})
