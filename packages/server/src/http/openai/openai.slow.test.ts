import { setTimeout as sleep } from 'node:timers/promises'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { codeIn, errorIn } from '../../../test/answers.ts'
import { bodyOf } from '../../../test/form-body.ts'
import type { Account, TestApp } from '../../../test/harness.ts'
import { noise } from '../../../test/pictures.ts'
import {
  createScriptedProvider,
  SCRIPTED_USAGE,
  type ScriptedProvider,
} from '../../../test/scripted-provider.ts'
import { createWorld } from '../../../test/world.ts'
import { ProviderError } from '../../ports/image-provider.ts'
import { ObjectStoreError } from '../../ports/object-store.ts'

let live: ScriptedProvider
let app: TestApp
let alice: Account
let key: string
let png: Buffer

beforeAll(async () => {
  live = await createScriptedProvider()
  app = await createWorld({
    providers: { live },
    env: { OPENAI_MODEL_MAP: 'gpt-image-1=default,dall-e-3=nano-banana-2' },
  })
  alice = await app.register()
  key = (await app.createKey(alice, { mode: 'live' })).key
  png = await noise(64, 48).png().toBuffer()
})
afterAll(() => app[Symbol.asyncDispose]())

const GENERATIONS = '/v1/images/generations'
const EDITS = '/v1/images/edits'

const post = (
  body: Record<string, unknown>,
  options: { token?: string; headers?: Record<string, string> } = {},
) =>
  app.request('POST', GENERATIONS, {
    token: key,
    body: { prompt: 'a banana', ...body },
    ...options,
  })

type Part = readonly [name: string, value: string | Buffer]

async function edit(
  parts: readonly Part[],
  options: { token?: string; headers?: Record<string, string> } = {},
) {
  const form = new FormData()
  for (const [name, value] of parts) {
    if (typeof value === 'string') form.append(name, value)
    else form.append(name, new File([new Uint8Array(value)], 'picture.png', { type: 'image/png' }))
  }
  const { body, headers } = await bodyOf(form)
  return app.request('POST', EDITS, {
    token: key,
    body,
    ...options,
    headers: { ...headers, ...options.headers },
  })
}

const generationOf = async ({ headers }: { headers: Record<string, string | undefined> }) =>
  (await app.request('GET', headers['location'] ?? '', { token: key })).json

/** The events of a stream, parsed. */
const eventsIn = (text: string) =>
  text
    .split('\n\n')
    .filter((block) => block.startsWith('event: '))
    .map((block) => {
      const [event = '', data = ''] = block.split('\n')
      return { event: event.slice(7), data: JSON.parse(data.slice(6)) }
    })

const { inputTokens, textOutputTokens, imageOutputTokens } = SCRIPTED_USAGE
const OUTPUT = textOutputTokens + imageOutputTokens

test('a generation comes as base64 of a PNG, with what was measured of it', async () => {
  const answer = await post({ n: 2, user: 'somebody' })
  expect(answer.status).toBe(200)
  const { created, data, usage, ...facts } = answer.json
  expect(facts).toEqual({
    background: 'opaque',
    output_format: 'png',
    quality: 'high',
    size: '64x64',
  })
  expect(Math.abs(created - Date.now() / 1000)).toBeLessThan(60)
  expect(usage).toEqual({
    input_tokens: 2 * inputTokens,
    output_tokens: 2 * OUTPUT,
    total_tokens: 2 * (inputTokens + OUTPUT),
    input_tokens_details: { image_tokens: 0, text_tokens: 2 * inputTokens },
  })
  expect(data).toHaveLength(2)
  for (const { b64_json: base64, ...rest } of data) {
    expect(rest).toEqual({ revised_prompt: 'a banana' })
    const { format, width } = await sharp(Buffer.from(base64, 'base64')).metadata()
    expect({ format, width }).toEqual({ format: 'png', width: 64 })
  }
  expect(answer.headers['ratelimit']).toMatch(/"key"/)
})

test('it is a generation like any other: a row, its cost and the ledger', async () => {
  const answer = await post({ user: 'somebody' })
  const { id, status, user, requested, images, usage, mode } = await generationOf(answer)
  expect({ id, status, user, mode }).toEqual({
    id: answer.headers['x-generation-id'],
    status: 'succeeded',
    user: 'somebody',
    mode: 'live',
  })
  expect(usage.cost_usd).toBeGreaterThan(0)
  expect(requested).toMatchObject({ n: 1, output_format: 'png', aspect_ratio: null })
  const content = `/v1/images/${images[0].id}/content`
  const { bytes } = await app.request('GET', content, { token: key })
  expect(answer.json.data[0].b64_json).toBe(bytes.toString('base64'))
})

test('response_format url answers an address that works without a credential', async () => {
  const answer = await post({ response_format: 'url' })
  const [{ url, b64_json: base64 }] = answer.json.data
  expect(base64).toBeUndefined()
  const { pathname, search } = new URL(url)
  expect((await app.request('GET', pathname + search)).headers['content-type']).toBe('image/png')
})

test('a key without the scope read gets its image too', async () => {
  const { key: bare } = await app.createKey(alice, { mode: 'test', scopes: ['generate'] })
  expect((await post({ model: 'dall-e-3' }, { token: bare })).json.data[0].b64_json).toMatch(
    /^iVBOR/,
  )
})

test('where images rest inline the base64 is theirs', async () => {
  await using inline = await createWorld({ env: { STORAGE: 'inline' } })
  const account = await inline.register()
  const { key: token } = await inline.createKey(account)
  const body = { prompt: 'a banana', output_format: 'jpeg' }
  const answer = await inline.request('POST', GENERATIONS, { token, body })
  expect(answer.json.data[0].b64_json).toMatch(/^\/9j\//)
  const asUrl = await inline.request('POST', GENERATIONS, {
    token,
    body: { ...body, response_format: 'url' },
  })
  expect(asUrl.json.data[0].url).toMatch(/^data:image\/jpeg;base64,/)
})

describe('what is asked of the model', () => {
  const askedBy = async (body: Record<string, unknown>) => {
    const answer = await post(body)
    expect(answer.text).not.toContain('"error"')
    const { model, aspectRatio, size } = live.seen.at(-1)!
    return { model: model.id, ratio: aspectRatio, size }
  }

  test.each([
    ['1024x1024', '1:1', '1K'],
    ['1536x1024', '3:2', '1K'],
    ['1024x1536', '2:3', '1K'],
    ['1792x1024', '16:9', '1K'],
    ['256x256', '1:1', '1K'],
    ['2048x2048', '1:1', '2K'],
    ['2752x1536', '16:9', '2K'],
    ['4096x4096', '1:1', '4K'],
    ['99999x10', '8:1', '1K'],
  ])('size %s is the ratio %s and the size %s', async (pixels, ratio, size) => {
    expect(await askedBy({ size: pixels })).toMatchObject({ ratio, size })
  })

  test('what one model has is not what another has', async () => {
    const body = { size: '512x512', model: 'nano-banana-2' }
    expect(await askedBy(body)).toMatchObject({ ratio: '1:1', size: '512' })
    const lite = { size: '99999x10', model: 'nano-banana-2-lite' }
    expect(await askedBy(lite)).toMatchObject({ ratio: '21:9', size: '1K' })
  })

  test.each([[{ size: 'auto' }], [{ size: null }], [{}]])(
    '%o leaves it to the model',
    async (body) => {
      expect(await askedBy(body)).toMatchObject({ ratio: undefined, size: '1K' })
    },
  )

  test('models are named by id, alias or what the operator has mapped', async () => {
    const ofDefault = 'gemini-nano-banana-2.1'
    for (const [name, model] of [
      [null, ofDefault],
      ['gpt-image-1', ofDefault],
      ['dall-e-3', 'gemini-3.1-flash-image'],
      ['nano-banana-pro', 'gemini-3-pro-image'],
      ['gemini-2.5-flash-image', 'gemini-2.5-flash-image'],
    ]) {
      expect(await askedBy({ model: name })).toMatchObject({ model })
    }
    for (const model of ['dall-e-2', 'constructor', '__proto__']) {
      expect(errorIn(await post({ model }))).toMatchObject({
        code: 'model_not_found',
        param: 'model',
      })
    }
  })

  test('a mapped name means nothing to /v1/generate', async () => {
    const body = { prompt: 'a banana', model: 'gpt-image-1' }
    const answer = await app.request('POST', '/v1/generate', { token: key, body })
    expect(codeIn(answer)).toBe('model_not_found')
  })

  test('output_compression is the quality of a jpeg or webp', async () => {
    for (const [body, quality] of [
      [{ output_format: 'jpeg', output_compression: 37 }, 37],
      [{ output_format: 'webp', output_compression: 0 }, 1],
      [{ output_compression: 100 }, null],
      [{ output_format: 'jpeg', output_compression: null }, null],
    ] as const) {
      expect((await generationOf(await post(body))).requested.output_quality).toBe(quality)
    }
    expect(errorIn(await post({ output_compression: 50 }))).toMatchObject({
      code: 'invalid_input',
      param: 'output_compression',
      message: 'output_compression: needs output_format jpeg or webp.',
    })
  })

  test('fields without effect have none, and null is the same as nothing', async () => {
    const before = live.seen.length
    const answer = await post({
      moderation: 'low',
      style: 'vivid',
      quality: 'low',
      input_fidelity: 'high',
      background: 'opaque',
      partial_images: 0,
      stream: null,
      n: null,
      response_format: null,
      output_format: null,
    })
    expect(answer.json).toMatchObject({ quality: 'high', background: 'opaque' })
    expect(live.seen.length).toBe(before + 1)
  })
})

describe('edits', () => {
  test('one file as image, several as image[], in their order', async () => {
    const one = await edit([
      ['image', png],
      ['prompt', 'a hat'],
    ])
    expect(one.json.data).toHaveLength(1)
    expect(live.seen.at(-1)?.images).toHaveLength(1)
    const other = await noise(32, 32).png().toBuffer()
    const parts: Part[] = [
      ['image[]', png],
      ['prompt', 'a hat'],
      ['image[]', other],
      ['n', '2'],
    ]
    const several = await edit([...parts, ['output_format', 'webp'], ['size', '1536x1024']])
    expect(several.json).toMatchObject({ output_format: 'webp', data: [{}, {}] })
    const { images = [], aspectRatio } = live.seen.at(-1)!
    const sizes = await Promise.all(
      images.map(async ({ bytes }) => (await sharp(bytes).metadata()).width),
    )
    expect({ sizes, aspectRatio }).toEqual({ sizes: [64, 32], aspectRatio: '3:2' })
  })

  test('a picture larger than any JSON, and one larger than is let in', async () => {
    const large = await noise(400, 400).png().toBuffer()
    expect(large.length).toBeGreaterThan(64 * 1024)
    expect(
      (
        await edit([
          ['image', large],
          ['prompt', 'x'],
        ])
      ).status,
    ).toBe(200)
    await using narrow = await createWorld({ env: { MAX_UPLOAD_BYTES: '100kB' } })
    const { key: token } = await narrow.createKey(await narrow.register())
    const form = new FormData()
    form.append('image', new File([new Uint8Array(large)], 'large.png', { type: 'image/png' }))
    form.append('prompt', 'x')
    const answer = await narrow.request('POST', EDITS, { token, ...(await bodyOf(form)) })
    expect(codeIn(answer)).toBe('payload_too_large')
  })

  test('the tokens of its input are parted into text and images', async () => {
    const { usage } = (
      await edit([
        ['image', png],
        ['prompt', 'x'],
      ])
    ).json
    expect(usage.input_tokens_details).toEqual({ image_tokens: inputTokens - 1, text_tokens: 1 })
  })

  test.each<[string, Part[], object]>([
    ['no image', [['prompt', 'x']], { code: 'invalid_input', param: 'image' }],
    ['no prompt', [['image', Buffer.from('x')]], { code: 'invalid_input', param: 'prompt' }],
    [
      'a text for an image',
      [
        ['image', 'x'],
        ['prompt', 'x'],
      ],
      { code: 'invalid_image', param: 'image' },
    ],
    [
      'an address for an image',
      [
        ['image[]', 'https://h.example/x.png'],
        ['prompt', 'x'],
      ],
      { code: 'image_url_not_supported', param: 'image' },
    ],
    [
      'what is no image',
      [
        ['image', Buffer.from('x')],
        ['prompt', 'x'],
      ],
      { code: 'invalid_image', param: 'image.0', message: expect.stringMatching(/^image\.0: /) },
    ],
    [
      'an empty file',
      [
        ['image', Buffer.alloc(0)],
        ['prompt', 'x'],
      ],
      { code: 'invalid_image' },
    ],
    [
      'a mask',
      [
        ['image', Buffer.from('x')],
        ['mask', Buffer.from('x')],
        ['prompt', 'x'],
      ],
      { code: 'unsupported_parameter', param: 'mask', message: expect.stringContaining('mask') },
    ],
    [
      'a file elsewhere',
      [
        ['file', Buffer.from('x')],
        ['prompt', 'x'],
      ],
      { code: 'invalid_input', param: 'file' },
    ],
    [
      'images of ours',
      [
        ['images', '[]'],
        ['image', Buffer.from('x')],
        ['prompt', 'x'],
      ],
      { code: 'invalid_input', param: 'images' },
    ],
    [
      'a field twice',
      [
        ['prompt', 'x'],
        ['prompt', 'y'],
        ['image', Buffer.from('x')],
      ],
      { code: 'invalid_input', param: 'prompt' },
    ],
    [
      '15 images',
      [
        ['prompt', 'x'],
        ...Array.from({ length: 15 }, () => ['image[]', Buffer.from('x')] as const),
      ],
      { code: 'invalid_input', param: 'image', message: 'image: must have at most 14 entries.' },
    ],
  ])('%s is refused', async (_, parts, expected) => {
    const before = live.seen.length
    expect(errorIn(await edit(parts))).toMatchObject(expected)
    expect(live.seen.length).toBe(before)
  })

  test('more images than the model takes are refused', async () => {
    const images = Array.from({ length: 4 }, (): Part => ['image[]', png])
    const answer = await edit([...images, ['prompt', 'x'], ['model', 'nano-banana-2-lite']])
    expect(errorIn(answer)).toMatchObject({ code: 'unsupported_parameter', param: 'image' })
  })

  test('JSON is refused here, and a form for a generation', async () => {
    const json = await app.request('POST', EDITS, { token: key, body: { prompt: 'x' } })
    expect(codeIn(json)).toBe('unsupported_media_type')
    const form = new FormData()
    form.append('prompt', 'x')
    const { body, headers } = await bodyOf(form)
    const asForm = await app.request('POST', GENERATIONS, { token: key, body, headers })
    expect(codeIn(asForm)).toBe('unsupported_media_type')
  })
})

describe('refusals', () => {
  test.each<[Record<string, unknown>, string, string]>([
    [{ n: 5 }, 'invalid_input', 'n'],
    [{ n: 0 }, 'invalid_input', 'n'],
    [{ n: '1' }, 'invalid_input', 'n'],
    [{ prompt: '' }, 'invalid_input', 'prompt'],
    [{ prompt: undefined }, 'invalid_input', 'prompt'],
    [{ prompt: 'a\0b' }, 'invalid_input', 'prompt'],
    [{ quality: 'a\0b' }, 'invalid_input', 'quality'],
    [{ quality: 1 }, 'invalid_input', 'quality'],
    [{ size: '1024' }, 'invalid_input', 'size'],
    [{ size: '0x1024' }, 'invalid_input', 'size'],
    [{ size: '1K' }, 'invalid_input', 'size'],
    [{ size: '1024x1024\n' }, 'invalid_input', 'size'],
    [{ output_format: 'gif' }, 'invalid_input', 'output_format'],
    [{ output_compression: 101 }, 'invalid_input', 'output_compression'],
    [{ response_format: 'hex' }, 'invalid_input', 'response_format'],
    [{ user: 'x'.repeat(65) }, 'invalid_input', 'user'],
    [{ background: 'transparent' }, 'unsupported_parameter', 'background'],
    [{ partial_images: 1 }, 'unsupported_parameter', 'partial_images'],
    [{ partial_images: 3, stream: true }, 'unsupported_parameter', 'partial_images'],
    [{ response_format: 'url', stream: true }, 'unsupported_parameter', 'response_format'],
    [{ mask: 'x' }, 'invalid_input', 'mask'],
    [{ image: 'x' }, 'invalid_input', 'image'],
    [{ aspect_ratio: '1:1' }, 'invalid_input', 'aspect_ratio'],
    [{ mode: 'test' }, 'invalid_input', 'mode'],
    [{ metadata: {} }, 'invalid_input', 'metadata'],
    [{ seed: 1 }, 'invalid_input', 'seed'],
    [{ zzz: 1 }, 'invalid_input', 'zzz'],
  ])('%o', async (body, code, param) => {
    const before = live.seen.length
    const error = errorIn(await post(body))
    expect(error).toMatchObject({ code, param })
    expect(error.message).toContain(param)
    expect(live.seen.length).toBe(before)
  })

  test('IN-8: an unknown field of a form, and of the query', async () => {
    const form = await edit([
      ['image', png],
      ['prompt', 'x'],
      ['zzz', '1'],
    ])
    expect(errorIn(form)).toMatchObject({ code: 'invalid_input', param: 'zzz' })
    const body = { prompt: 'x' }
    const query = await app.request('POST', `${GENERATIONS}?zzz=1`, { token: key, body })
    expect(errorIn(query)).toMatchObject({ code: 'invalid_input', param: 'zzz' })
  })

  test('an access token is refused, and a key without the scope', async () => {
    for (const request of [
      post({}, { token: alice.token }),
      edit([['prompt', 'x']], { token: alice.token }),
    ]) {
      expect(codeIn(await request)).toBe('key_required')
    }
    const { key: reader } = await app.createKey(alice, { scopes: ['read'] })
    expect(codeIn(await post({}, { token: reader }))).toBe('insufficient_scope')
  })

  test('a failure of the provider has its code, and names the generation', async () => {
    live.play(new ProviderError('content_blocked', 'SAFETY'))
    const answer = await post({})
    expect(codeIn(answer)).toBe('content_blocked')
    expect(answer.headers).toMatchObject({
      'x-should-retry': 'false',
      'x-generation-id': expect.stringMatching(/^gen_/),
    })
    expect((await generationOf(answer)).status).toBe('failed')
  })

  test('who has no request left is told so before the body is read', async () => {
    const limits = { mode: 'test', requests_per_minute: 1 }
    const { key: token } = await app.createKey(alice, limits)
    const body = '{"prompt":'
    const ask = () => app.request('POST', GENERATIONS, { token, body })
    expect(codeIn(await ask())).toBe('invalid_json')
    expect(codeIn(await ask())).toBe('rate_limited')
  })

  test('out of budget nothing is asked of the provider', async () => {
    const { key: poor } = await app.createKey(alice, { mode: 'live', monthly_limit_usd: 0 })
    const before = live.seen.length
    expect(codeIn(await post({}, { token: poor }))).toBe('budget_exceeded')
    expect(live.seen.length).toBe(before)
  })
})

describe('a stream', () => {
  test('tells each image once, and the tokens of all with the last', async () => {
    const answer = await post({ stream: true, n: 2, output_format: 'jpeg' })
    expect(answer.headers).toMatchObject({
      'content-type': 'text/event-stream; charset=utf-8',
      'x-generation-id': expect.stringMatching(/^gen_/),
    })
    const events = eventsIn(answer.text)
    expect(events).toHaveLength(2)
    for (const { event, data } of events) {
      expect(event).toBe('image_generation.completed')
      expect(data).toMatchObject({
        type: event,
        b64_json: expect.stringMatching(/^\/9j\//),
        created_at: expect.any(Number),
        background: 'opaque',
        output_format: 'jpeg',
        quality: 'high',
        size: '64x64',
      })
    }
    const totals = events.map(({ data }) => data.usage.total_tokens)
    expect(totals).toEqual([0, 2 * (inputTokens + OUTPUT)])
  })

  test('of an edit has the events of an edit', async () => {
    const answer = await edit([
      ['image', png],
      ['prompt', 'x'],
      ['stream', 'true'],
    ])
    expect(eventsIn(answer.text).map(({ event }) => event)).toEqual(['image_edit.completed'])
  })

  test('tells a failure as an event in the one shape', async () => {
    live.play(new ProviderError('content_blocked', 'SAFETY'))
    const answer = await post({ stream: true })
    expect(answer.status).toBe(200)
    expect(eventsIn(answer.text)).toEqual([
      {
        event: 'error',
        data: {
          type: 'error',
          error: {
            type: 'content_error',
            code: 'content_blocked',
            message: expect.any(String),
            param: null,
            request_id: answer.headers['x-request-id'],
          },
        },
      },
    ])
  })

  test('refuses before it begins as any answer is refused', async () => {
    expect(codeIn(await post({ stream: true, n: 9 }))).toBe('invalid_input')
  })

  test('that is canceled ends with an error', async () => {
    const { promise: forever, resolve } = Promise.withResolvers<void>()
    live.play(forever)
    const answering = post({ stream: true })
    const path = await runningPath()
    await app.request('POST', `${path}/cancel`, { token: key })
    expect(eventsIn((await answering).text)).toMatchObject([
      { event: 'error', data: { error: { code: 'no_image' } } },
    ])
    resolve()
  })
})

/** Path of the generation that runs. */
async function runningPath(): Promise<string> {
  for (;;) {
    const list = await app.request('GET', '/v1/generations?status=running', { token: key })
    const [running] = list.json.data
    if (running !== undefined) return `/v1/generations/${running.id}`
    await sleep(20)
  }
}

test('a generation that is canceled is answered as an error that a repeat does not change', async () => {
  const { promise: forever, resolve } = Promise.withResolvers<void>()
  live.play(forever)
  const answering = post({})
  await app.request('POST', `${await runningPath()}/cancel`, { token: key })
  const answer = await answering
  expect(errorIn(answer)).toMatchObject({
    code: 'no_image',
    message: 'The generation was canceled.',
  })
  expect(answer.headers['x-should-retry']).toBe('false')
  resolve()
})

test('waits past SYNC_TIMEOUT, as its clients know no 202', async () => {
  const slow = await createScriptedProvider()
  await using impatient = await createWorld({
    providers: { live: slow },
    env: { SYNC_TIMEOUT: '1' },
  })
  const account = await impatient.register()
  const { key: token } = await impatient.createKey(account, { mode: 'live' })
  slow.play(sleep(1500), sleep(1500))
  const body = { prompt: 'a banana' }
  const [generate, images] = await Promise.all([
    impatient.request('POST', '/v1/generate', { token, body }),
    impatient.request('POST', GENERATIONS, { token, body }),
  ])
  expect(generate.status).toBe(202)
  expect(images.status).toBe(200)
  expect(images.json.data[0].b64_json).toMatch(/^iVBOR/)
})

test('what waits for a worker in vain is answered at the end of all patience, not to be repeated', async () => {
  await using idle = await createWorld({ env: { WORKERS: '0', UPSTREAM_TIMEOUT: '1' } })
  const account = await idle.register()
  const { key: token } = await idle.createKey(account)
  // All the places for runs of requests.
  const holder = (i: number) => ({ kind: 'account', name: `somebody ${i}`, share: 1 })
  const taken = Array.from({ length: 64 }, (_, i) => idle.service.deps.slots.tryTake(holder(i)))
  const answer = await idle.request('POST', GENERATIONS, { token, body: { prompt: 'x' } })
  expect(taken).not.toContain(undefined)
  expect(codeIn(answer)).toBe('upstream_timeout')
  expect(answer.headers['x-should-retry']).toBe('false')
  expect(answer.headers['location']).toMatch(/^\/v1\/generations\/gen_/)
})

test('what is paid for and cannot be read just now is not to be bought again', async () => {
  const read = vi.spyOn(app.service.deps.objectStore, 'read')
  for (const stream of [false, true]) {
    read.mockRejectedValueOnce(new ObjectStoreError('the store is away'))
    const answer = await post({ stream })
    expect((await generationOf(answer)).status).toBe('succeeded')
    if (stream) {
      expect(eventsIn(answer.text)).toMatchObject([{ data: { error: { code: 'unavailable' } } }])
    } else {
      expect(codeIn(answer)).toBe('unavailable')
      expect(answer.headers['x-should-retry']).toBe('false')
    }
  }
  read.mockRestore()
})

describe('Idempotency-Key', () => {
  const headers = (name: string) => ({ headers: { 'idempotency-key': name } })

  test('a repeat answers the same generation and buys nothing', async () => {
    const before = live.seen.length
    const first = await post({ quality: 'low' }, headers('one'))
    const second = await post({ quality: 'low' }, headers('one'))
    expect(live.seen.length).toBe(before + 1)
    expect(second.json).toEqual(first.json)
    expect(second.headers).toMatchObject({
      'idempotent-replayed': 'true',
      'x-generation-id': first.headers['x-generation-id'],
    })
  })

  test('another body is another request, and so is the same on another route', async () => {
    await post({}, headers('two'))
    for (const other of [
      post({ response_format: 'url' }, headers('two')),
      post({ quality: 'high' }, headers('two')),
      post({ stream: true }, headers('two')),
      edit(
        [
          ['image', png],
          ['prompt', 'a banana'],
        ],
        headers('two'),
      ),
      app.request('POST', '/v1/generate', {
        token: key,
        // To the letter what the first was sent.
        body: { prompt: 'a banana' },
        ...headers('two'),
      }),
    ]) {
      expect(codeIn(await other)).toBe('idempotency_mismatch')
    }
  })

  test('the same files are the same request', async () => {
    const before = live.seen.length
    const parts: Part[] = [
      ['image', png],
      ['prompt', 'x'],
    ]
    await edit(parts, headers('three'))
    const repeat = await edit(parts, headers('three'))
    expect(repeat.headers['idempotent-replayed']).toBe('true')
    expect(live.seen.length).toBe(before + 1)
    const other = await noise(64, 48).png().toBuffer()
    expect(
      codeIn(
        await edit(
          [
            ['image', other],
            ['prompt', 'x'],
          ],
          headers('three'),
        ),
      ),
    ).toBe('idempotency_mismatch')
  })

  test('while the first runs a plain repeat is told to come back, and a stream follows it', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    live.play(promise, promise)
    const plain = post({}, headers('four'))
    const stream = post({ stream: true }, headers('five'))
    await runningPath()
    await sleep(100)
    const repeat = await post({}, headers('four'))
    expect(codeIn(repeat)).toBe('idempotency_in_progress')
    expect(repeat.headers['retry-after']).toBeDefined()
    const followed = post({ stream: true }, headers('five'))
    await sleep(100)
    resolve()
    await plain
    expect(eventsIn((await followed).text)).toEqual(eventsIn((await stream).text))
    expect(eventsIn((await stream).text)).toHaveLength(1)
  })
})
