import { Readable } from 'node:stream'
import { UploadedImage } from '@nanobanana/shared'
import fc from 'fast-check'
import type { FastifyRequest } from 'fastify'
import { describe, expect, test } from 'vitest'
import { type Form, readForm } from './multipart.ts'
import { readPartHead } from './part-head.ts'

const LIMITS = {
  bodyBytes: 2 ** 20,
  textBytes: 64 * 1024,
  imageBytes: 2 ** 20,
  files: { parts: ['image'], list: 'images' },
}

function read(
  chunks: readonly Buffer[],
  type = 'multipart/form-data; boundary=x',
  limits = LIMITS,
): Promise<Form> {
  const request = { headers: { 'content-type': type } } as unknown as FastifyRequest
  return readForm(request, Readable.from(chunks), limits)
}

/** A form as clients write it. */
const write = (form: Form, boundary: string): Buffer =>
  Buffer.concat([
    ...form.flatMap(({ name, value }) => [
      Buffer.from(`--${boundary}\r\n${headOf(name, value)}\r\n\r\n`),
      Buffer.from(typeof value === 'string' ? value : value.bytes),
      Buffer.from('\r\n'),
    ]),
    Buffer.from(`--${boundary}--\r\n`),
  ])

function headOf(name: string, value: string | UploadedImage): string {
  const disposition = `Content-Disposition: form-data; name="${name}"`
  if (typeof value === 'string') return disposition
  const { declaredType = 'application/octet-stream' } = value
  return `${disposition}; filename="x.png"\r\nContent-Type: ${declaredType}`
}

const hostile = fc.constantFrom('\n', '--x', '-', '\n--', ' ', 'é', '🍌', '--x--')
const text = fc
  .array(fc.oneof(hostile, fc.string({ maxLength: 5 })), { maxLength: 6 })
  .map((parts) => parts.join('').replaceAll('\r', ''))
  .filter((one) => one.isWellFormed())
const bytes = fc
  .array(
    fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      hostile.map((one) => Buffer.from(one)),
    ),
  )
  .map((parts) => Buffer.concat(parts))
const part = fc.oneof(
  fc.record({ name: fc.constantFrom('prompt', 'a b', 'ü'), value: text }),
  fc.record({
    name: fc.constant('image'),
    value: fc
      .tuple(bytes, fc.constantFrom('image/png', undefined))
      .map(([one, type]) => new UploadedImage(one, type)),
  }),
)

test('whatever the parts and however the body is split, they are read as they were written', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(part, { maxLength: 8 }),
      fc.array(fc.nat(), { maxLength: 8 }),
      async (form, places) => {
        const body = write(form, 'boundary-7d')
        const cuts = places.map((one) => one % (body.length + 1)).toSorted((a, b) => a - b)
        const chunks = [0, ...cuts].map((from, i) => body.subarray(from, cuts[i] ?? body.length))
        const type = 'multipart/form-data; boundary="boundary-7d"'
        expect(await read(chunks, type)).toEqual(form)
      },
    ),
    { numRuns: 300 },
  )
})

test('a large part is whole, also where its end comes by itself', async () => {
  for (const size of [20_000, 70_000, 500_000]) {
    const form = [
      { name: 'image', value: new UploadedImage(Buffer.alloc(size, 1), 'image/png') },
      { name: 'user', value: 'x'.repeat(30_000) },
      { name: 'image', value: new UploadedImage(Buffer.alloc(size, 2), 'image/png') },
    ]
    const body = write(form, 'x')
    const end = body.lastIndexOf('\r\n--x')
    expect(await read([body.subarray(0, end), body.subarray(end)])).toEqual(form)
    expect(await read([body])).toEqual(form)
  }
})

test.each([
  ['a field', [{ name: 'user', value: 'x'.repeat(32 * 1024 + 1) }]],
  ['all fields', ['a', 'b', 'c'].map((name) => ({ name, value: 'x'.repeat(30_000) }))],
  ['the images', [{ name: 'image', value: new UploadedImage(Buffer.alloc(2 ** 20)) }]],
])('%s beyond the limit are refused, however the body is split', async (_what, form) => {
  const body = write([{ name: 'prompt', value: 'a banana' }, ...form], 'x')
  const limits = { ...LIMITS, bodyBytes: 2 ** 22, imageBytes: 2 ** 20 - 1 }
  const tail = body.lastIndexOf('\r\n--x')
  for (const cut of [body.length, tail, tail + 2, tail - 100, 32 * 1024]) {
    const chunks = [body.subarray(0, cut), body.subarray(cut)]
    await expect(read(chunks, undefined, limits)).rejects.toThrow(/at most|too large/)
  }
})

test('a body that is cut short anywhere is refused', async () => {
  const form = [
    { name: 'prompt', value: 'a banana' },
    { name: 'image', value: new UploadedImage(Buffer.from('bytes'), 'image/png') },
  ]
  const body = write(form, 'x')
  const end = body.lastIndexOf('\r\n')
  expect(await read([body.subarray(0, end)])).toEqual(form)
  for (let length = 0; length < end; length++) {
    await expect(read([body.subarray(0, length)]), String(length)).rejects.toMatchObject({
      code: 'invalid_input',
    })
  }
})

describe('the head of a part', () => {
  const headers = (disposition: string, type?: string) => ({
    'content-disposition': [disposition],
    ...(type === undefined ? {} : { 'content-type': [type] }),
  })

  test.each([
    ['form-data; name="a"', undefined, { name: 'a', isFile: false }],
    ['form-data;name=a', undefined, { name: 'a', isFile: false }],
    ['Form-Data ; NAME="a;b"', undefined, { name: 'a;b' }],
    ['form-data; name="a\\"b"', undefined, { name: 'a"b' }],
    ['form-data; name="x; filename=y"', undefined, { name: 'x; filename=y', isFile: false }],
    [
      'form-data; name="image"; filename="x.png"',
      'Image/PNG; q=1',
      { isFile: true, type: 'image/png' },
    ],
    ['form-data; name="image"; filename=""', undefined, { isFile: true, isNameless: true }],
    [
      "form-data; name=image; filename*=UTF-8''x.png",
      undefined,
      { isFile: true, isNameless: false },
    ],
    ['form-data; name="image"', 'image/webp', { isFile: true }],
    ['form-data; name="image"', 'text/plain', { isFile: false }],
    ['form-data; name="metadata"; filename="blob"', 'application/json', { isFile: false }],
  ])('%s', (disposition, type, expected) => {
    expect(readPartHead(headers(disposition, type))).toMatchObject(expected)
  })

  test.each([
    '',
    'form-data',
    'form-data; name',
    'form-data; name=',
    'form-data; name=""',
    'form-data; name="a',
    'form-data; name="a"; name="b"',
    'form-data; name="a" b',
    'form-data; filename="a"',
    'attachment; name="a"',
    'form-datax; name="a"',
  ])('%s is none', (disposition) => {
    expect(readPartHead(headers(disposition))).toBeUndefined()
  })

  test('it is refused when it is absent, or stands twice', () => {
    expect(readPartHead({})).toBeUndefined()
    const twice = ['form-data; name="a"', 'form-data; name="b"']
    expect(readPartHead({ 'content-disposition': twice })).toBeUndefined()
  })
})
