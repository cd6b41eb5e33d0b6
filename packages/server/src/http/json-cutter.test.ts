import { UploadedImage } from '@nanobanana/shared'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { JsonCutter } from './json-cutter.ts'

const LIMITS = { textBytes: 64 * 1024, imageBytes: 2 ** 20 }

/** Cuts a body that arrives in these chunks; what is left of it is parsed. */
function cut(chunks: readonly Buffer[], limits = LIMITS): { text: string; value: unknown } {
  const cutter = new JsonCutter(limits)
  for (const chunk of chunks) cutter.push(chunk)
  const text = cutter.end().toString()
  return { text, value: cutter.restore(JSON.parse(text)) }
}

const cutWhole = (text: string) => cut([Buffer.from(text)]).value

/** Splits at the given places, taken round the length. */
function split(bytes: Buffer, places: readonly number[]): Buffer[] {
  const cuts = places.map((place) => place % (bytes.length + 1)).toSorted((a, b) => a - b)
  return [0, ...cuts].map((from, i) => bytes.subarray(from, cuts[i] ?? bytes.length))
}

const bytesOf = (length: number) => Buffer.from(Array.from({ length }, (_, i) => (i * 37) % 256))
const image = (length: number, type?: string) => new UploadedImage(bytesOf(length), type)
const LONG = bytesOf(3000).toString('base64')

/** Every way that JSON may write a character. */
const ESCAPES: Readonly<Record<string, (text: string) => string>> = {
  'as it is': (text) => text,
  'as PHP does': (text) => text.replaceAll('/', '\\/'),
  'as .NET does': (text) => text.replaceAll('+', '\\u002B'),
  'with small digits': (text) => text.replaceAll('=', '\\u003d').replaceAll('A', '\\u0041'),
  'wholly escaped': (text) =>
    text.replaceAll(/[^]/g, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`),
}

describe('a long string named data becomes an image', () => {
  test.each(Object.entries(ESCAPES))('written %s', (_, escape) => {
    for (const length of [769, 3000, 3001, 100_000]) {
      const base64 = bytesOf(length).toString('base64')
      for (const [prefix, type] of [
        ['', undefined],
        ['data:image/png;base64,', 'image/png'],
        ['data:;base64,', undefined],
      ] as const) {
        const body = Buffer.from(`{"images": [{"data" :\n"${escape(prefix + base64)}"}]}`)
        const { text, value } = cut([body])
        expect(value).toEqual({ images: [{ data: image(length, type) }] })
        expect(text.length).toBeLessThan(100)
      }
    }
  })

  test('split at each of its bytes', () => {
    const escaped = ESCAPES['with small digits']!(LONG.slice(0, 1400))
    const body = Buffer.from(`{"a":"data","data":"${escaped}","b":[{"data" : "x"}]}`)
    const expected = cut([body]).value
    expect(expected).toMatchObject({ a: 'data', data: expect.any(UploadedImage) })
    for (let at = 0; at <= body.length; at++) {
      expect(cut([body.subarray(0, at), body.subarray(at)]).value).toEqual(expected)
    }
    expect(cut(Array.from(body, (byte) => Buffer.from([byte]))).value).toEqual(expected)
  })

  test('in the order of the list, each its own', () => {
    const lengths = [1000, 5000, 70_000, 2000]
    const images = lengths.map((length) => ({ data: bytesOf(length).toString('base64') }))
    expect(cutWhole(JSON.stringify({ images, prompt: 'x' }))).toEqual({
      images: lengths.map((length) => ({ data: image(length) })),
      prompt: 'x',
    })
  })

  test('one that is no base64 has no bytes', () => {
    for (const wrong of [
      `${LONG}!`,
      `${LONG} ${LONG}`,
      `${LONG}=`,
      `${LONG.slice(0, 1500)}\\n${LONG}`,
      `${LONG.slice(0, 1500)}ü${LONG}`,
      `${LONG.slice(0, 1500)}\\u4e2b${LONG.slice(0, 1503)}`,
      `data:image/png,${LONG}`,
      `data:image/png;base64,data:image/png;base64,${LONG}`,
    ]) {
      const { data } = cutWhole(`{"data":"${wrong}"}`) as { data: UploadedImage }
      expect(data.bytes.length, wrong.slice(-20)).toBe(0)
    }
  })
})

describe('what stays text', () => {
  test.each([
    ['a short one', { data: 'x'.repeat(1024) }],
    ['the longest entry of metadata', { metadata: { data: '🍌'.repeat(512) } }],
    ['a web address', { images: [{ data: `https://example.com/?${'x'.repeat(2000)}` }] }],
    ['another name', { date: LONG, dat: LONG, datas: LONG, xdata: LONG, ' data': LONG }],
    ['a value data', { a: 'data', b: [LONG, 'data', LONG], c: LONG }],
    ['names and quotes inside of strings', { a: '"data":"', '"data"': LONG, '\\"data': LONG }],
    [
      'data that is no string',
      { data: [LONG], b: { data: { x: LONG } }, c: { data: null, d: LONG } },
    ],
  ])('%s', (_, value) => {
    const body = JSON.stringify(value)
    expect(cut([Buffer.from(body)])).toEqual({ text: body, value })
  })

  test('what looks like a mark', () => {
    const { text } = cut([Buffer.from(`{"data":"${LONG}"}`)])
    const mark = JSON.parse(text).data as string
    expect(cutWhole(`{"x":"${mark}","data":"${LONG}"}`)).toMatchObject({ x: mark })
  })
})

/** Whether the body is refused as JSON that nobody can read. */
function isRefused(body: string): boolean {
  try {
    cutWhole(body)
    return false
  } catch (error) {
    return error instanceof SyntaxError || (error as { code?: unknown }).code === 'invalid_json'
  }
}

test('what is no JSON is none without its images', () => {
  for (const body of [
    `{"data":"${LONG}`,
    `{"data":"${LONG}"`,
    `{"data":"${LONG}\\`,
    `{"data":"${LONG}\\"}`,
    `{"data":"${LONG}\\x"}`,
    `{"data":"${LONG}\\u00zz"}`,
    `{"data":"${LONG}\\u00"}`,
    `{"data":"${LONG}\n"}`,
    `{"data":"\\u12"${LONG}"}`,
    `{"data":"${LONG}"${LONG}"}`,
    `{"x":"data":"${LONG}"}`,
    `{"data"::"${LONG}"}`,
    `{"data" "${LONG}"}`,
    `["data":"${LONG}"]`,
  ]) {
    expect(isRefused(body), body.slice(0, 20) + body.slice(-8)).toBe(true)
  }
})

describe('limits', () => {
  const refusal = (body: string, limits: typeof LIMITS) => {
    const cutter = new JsonCutter(limits)
    const bytes = Buffer.from(body)
    let read = 0
    try {
      for (; read < bytes.length; read += 1000) cutter.push(bytes.subarray(read, read + 1000))
      cutter.end()
    } catch (error) {
      return { code: (error as { code: string }).code, read }
    }
    return undefined
  }

  test('all images together have one, to the byte', () => {
    const body = JSON.stringify(
      [70_000, 3001].map((length) => ({ data: bytesOf(length).toString('base64') })),
    )
    const limits = { textBytes: 1000, imageBytes: 73_001 }
    expect(refusal(body, limits)).toBeUndefined()
    expect(refusal(body, { ...limits, imageBytes: 73_000 })?.code).toBe('payload_too_large')
  })

  test('an image is not read to its end when it is too large', () => {
    const body = `{"data":"${'A'.repeat(10 ** 6)}`
    const { code, read } = refusal(body, { textBytes: 1000, imageBytes: 100_000 })!
    expect(code).toBe('payload_too_large')
    expect(read).toBeLessThan(300_000)
  })

  test('the text has one, its images not counted', () => {
    const limits = { textBytes: 3000, imageBytes: 10 ** 6 }
    const body = (length: number) => `{"x":"${'x'.repeat(length)}","data":"${'A'.repeat(80_000)}"}`
    expect(refusal(body(2900), limits)).toBeUndefined()
    expect(refusal(body(3000), limits)?.code).toBe('payload_too_large')
    expect(refusal(' '.repeat(10 ** 5), limits)?.read).toBeLessThan(5000)
  })
})

/** The longest string that is kept. */
const isCut = (name: string, value: unknown): value is string =>
  name === 'data' && typeof value === 'string' && Array.from(value).length > 1024

/** The same with images where the cutter puts them. */
function expected(value: unknown, name = ''): unknown {
  if (isCut(name, value)) return new UploadedImage(Buffer.from(value, 'base64'))
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map((one) => expected(one))
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, expected(one, key)]))
}

/** Writes JSON with white space, and with escapes where nothing asks for them. */
function write(value: unknown, style: { space: string; escape: (text: string) => string }): string {
  const { space, escape } = style
  if (typeof value === 'string') return JSON.stringify(value).replaceAll(/[+/=]/g, escape)
  if (Array.isArray(value)) {
    return `[${space}${value.map((one) => write(one, style)).join(`${space},`)}]`
  }
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const members = Object.entries(value).map(
    ([name, one]) => `${JSON.stringify(name)}${space}:${space}${write(one, style)}`,
  )
  return `{${space}${members.join(`,${space}`)}${space}}`
}

const base64 = fc
  .uint8Array({ minLength: 0, maxLength: 3000 })
  .map((bytes) => Buffer.from(bytes).toString('base64'))
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 12 }).filter((one) => one.isWellFormed()),
  fc.constantFrom('data', '"data"', '"data":"', '\\', '\\"', '{"data":"', ''),
  base64,
)
const name = fc.oneof(
  fc.constant('data'),
  // No two names of one escaped character each: V8 may read the second as the first.
  fc.string({ maxLength: 6 }).filter((one) => !/["\\]/.test(one)),
  fc.constant('"data":"'),
)
const { json } = fc.letrec((tie) => ({
  json: fc.oneof(
    { maxDepth: 4 },
    text,
    fc.constantFrom<unknown>(null, true, 0, -1.5, 1e30),
    fc.array(tie('json'), { maxLength: 4 }),
    fc.dictionary(name, fc.oneof(tie('json'), base64), { maxKeys: 4 }),
  ),
}))
const style = fc.record({
  space: fc.constantFrom('', ' ', '\n\t', '\r\n  '),
  escape: fc.constantFrom(
    (one: string) => one,
    (one: string) => `\\u00${one.charCodeAt(0).toString(16)}`,
    (one: string) => (one === '/' ? '\\/' : `\\u00${one.charCodeAt(0).toString(16).toUpperCase()}`),
  ),
})

test('whatever the JSON and however it is split, it is what JSON.parse makes of it', () => {
  fc.assert(
    fc.property(json, style, fc.array(fc.nat(), { maxLength: 8 }), (value, how, places) => {
      const body = Buffer.from(write(value, how))
      expect(cut(split(body, places)).value).toEqual(expected(value))
    }),
    { numRuns: 300 },
  )
})

test('whatever the bytes, what the cutter leaves is JSON only where they were', () => {
  const pieces = fc.constantFrom(
    '"',
    '\\',
    'data',
    ':',
    '{',
    '}',
    ',',
    ' ',
    'u',
    '0041',
    LONG,
    '\n',
    'é',
  )
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 14 }), (some) => {
      const body = some.join('')
      const isJson = (() => {
        try {
          JSON.parse(body)
          return true
        } catch {
          return false
        }
      })()
      expect(isRefused(body)).toBe(!isJson)
    }),
    { numRuns: 3000, examples: [[['{', '"', 'data', '"', ':', '"', LONG, '"', '}']]] },
  )
})
