import OpenAI, { APIError, toFile } from 'openai'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ERRORS } from '../../packages/shared/src/index.ts'
import { noise } from '../../packages/server/test/pictures.ts'
import { serve, type Served } from './service.ts'

let service: Served
let client: OpenAI
let png: Buffer

beforeAll(async () => {
  service = await serve()
  client = clientOf(service.key)
  png = await noise(64, 48).png().toBuffer()
})
afterAll(() => service[Symbol.asyncDispose]())

const clientOf = (apiKey: string, baseURL = service.baseURL): OpenAI =>
  new OpenAI({ baseURL, apiKey })

const picture = (name: string) => toFile(png, name, { type: 'image/png' })

/** How files begin, in base64. */
const STARTS = { iVBOR: 'png', UklGR: 'webp' }
const formatOf = (base64: string | undefined) => STARTS[base64?.slice(0, 5) as keyof typeof STARTS]

const FACTS = { background: 'opaque', quality: 'high', size: '64x64' }

test('images.generate', async () => {
  const {
    data,
    response,
    request_id: requestId,
  } = await client.images
    .generate({
      model: 'gpt-image-1',
      prompt: 'a banana astronaut',
      size: '1536x1024',
      n: 2,
      quality: 'high',
      moderation: 'auto',
      background: 'auto',
      output_format: 'webp',
      output_compression: 80,
      user: 'somebody',
    })
    .withResponse()
  expect(data).toMatchObject({ ...FACTS, output_format: 'webp', created: expect.any(Number) })
  expect(data.usage).toMatchObject({ input_tokens: 8, output_tokens: 1694, total_tokens: 1702 })
  expect(data.data!.map((one) => formatOf(one.b64_json))).toEqual(['webp', 'webp'])
  expect(requestId).toMatch(/^req_/)
  expect(response.headers.get('x-generation-id')).toMatch(/^gen_/)
})

test('images.generate with addresses', async () => {
  const { data } = await client.images.generate({
    model: 'dall-e-3',
    prompt: 'a banana',
    style: 'vivid',
    quality: 'hd',
    response_format: 'url',
  })
  const answer = await fetch(data![0]!.url!)
  expect(answer.headers.get('content-type')).toBe('image/png')
})

test('images.edit with one file and with several', async () => {
  const prompt = 'give it a hat'
  const one = await client.images.edit({ image: await picture('a.png'), prompt })
  expect(formatOf(one.data![0]!.b64_json)).toBe('png')
  const image = await Promise.all([picture('a.png'), picture('b.png'), picture('c.png')])
  const several = await client.images.edit({ image, prompt, input_fidelity: 'high', n: 2 })
  expect(several.data).toHaveLength(2)
  const { token } = service.account
  const list = await service.app.request('GET', '/v1/generations?limit=2', { token })
  expect(list.json.data.map((row: { requested: object }) => row.requested)).toMatchObject([
    { input_images: 3, n: 2 },
    { input_images: 1, n: 1 },
  ])
})

test('stream: true of a generation and of an edit', async () => {
  const types: string[] = []
  const stream = await client.images.generate({
    prompt: 'a banana',
    stream: true,
    n: 2,
    partial_images: 0,
  })
  for await (const event of stream) {
    if (event.type !== 'image_generation.completed') throw new Error(event.type)
    expect(event).toMatchObject({ ...FACTS, output_format: 'png', created_at: expect.any(Number) })
    expect(formatOf(event.b64_json)).toBe('png')
    types.push(event.type)
  }
  const image = await picture('a.png')
  for await (const event of await client.images.edit({ image, prompt: 'x', stream: true }))
    types.push(event.type)
  expect(types).toEqual([
    'image_generation.completed',
    'image_generation.completed',
    'image_edit.completed',
  ])
})

const failure = async (answering: PromiseLike<unknown>): Promise<APIError> => {
  const error: unknown = await Promise.resolve(answering).then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (error instanceof APIError) return error
  throw new Error('no error of the client', { cause: error })
}

test('a failure in a stream is thrown with our code', async () => {
  const error = await failure(
    (async () => {
      const stream = await client.images.generate({ prompt: 'fail: content_blocked', stream: true })
      for await (const event of stream) throw new Error(event.type)
    })(),
  )
  expect(error).toMatchObject({
    code: 'content_blocked',
    type: 'content_error',
    message: 'as the prompt asked: content_blocked',
    requestID: expect.stringMatching(/^req_/),
  })
})

describe('errors', () => {
  const generate = (body: Record<string, unknown>, key = service.key) =>
    clientOf(key).images.generate({ prompt: 'a banana', ...body } as never)

  type Refusal = readonly [code: string, param: string | null, call: () => PromiseLike<unknown>]
  const refusals: readonly Refusal[] = [
    ['invalid_input', 'n', () => generate({ n: 10 })],
    ['invalid_input', 'zzz', () => generate({ zzz: 1 })],
    ['invalid_input', 'prompt', () => generate({ prompt: '' })],
    ['unsupported_parameter', 'background', () => generate({ background: 'transparent' })],
    [
      'unsupported_parameter',
      'partial_images',
      () => generate({ partial_images: 2, stream: true }),
    ],
    [
      'unsupported_parameter',
      'mask',
      async () =>
        client.images.edit({ image: await picture('a'), mask: await picture('b'), prompt: 'x' }),
    ],
    [
      'invalid_image',
      'image.0',
      async () =>
        client.images.edit({ image: await toFile(Buffer.from('no'), 'a.png'), prompt: 'x' }),
    ],
    ['model_not_found', 'model', () => generate({ model: 'gpt-image-2' })],
    ['invalid_api_key', null, () => generate({}, `nb_live_${'x'.repeat(32)}`)],
    ['key_required', null, () => generate({}, service.account.token)],
    ['content_blocked', null, () => generate({ prompt: 'fail: content_blocked' })],
    ['no_image', null, () => generate({ prompt: 'fail: no_image' })],
    ['upstream_failed', null, () => generate({ prompt: 'fail: upstream_failed' })],
    ['upstream_invalid', null, () => generate({ prompt: 'fail: upstream_invalid' })],
  ]
  test.each(refusals)('%s (%s) is not repeated', async (code, param, call) => {
    const count = () =>
      service.countOf('/v1/images/generations') + service.countOf('/v1/images/edits')
    const before = count()
    const error = await failure(call())
    const { status, type } = ERRORS[code as keyof typeof ERRORS]
    expect(error).toMatchObject({
      status,
      code,
      type,
      param,
      requestID: expect.stringMatching(/^req_/),
    })
    expect(error.message).toMatch(new RegExp(`^${status} .{10}`))
    expect(error.headers?.get('x-should-retry')).toBe('false')
    expect(count()).toBe(before + 1)
  })

  test('a key without the scope, and one without a budget', async () => {
    const { app, account } = service
    const reader = await app.createKey(account, { scopes: ['read'] })
    expect(await failure(generate({}, reader.key))).toMatchObject({
      status: 403,
      code: 'insufficient_scope',
    })
    const poor = await app.createKey(account, { mode: 'live', monthly_limit_usd: 0 })
    expect(await failure(generate({}, poor.key))).toMatchObject({
      status: 402,
      code: 'budget_exceeded',
    })
  })

  test.each(['upstream_unavailable', 'upstream_rate_limited', 'upstream_timeout'])(
    '%s is repeated twice',
    async (code) => {
      await using own = await serve()
      const answering = clientOf(own.key, own.baseURL).images.generate({ prompt: `fail: ${code}` })
      expect(await failure(answering)).toMatchObject({
        status: 503,
        code,
        type: 'unavailable_error',
      })
      expect(own.countOf('/v1/images/generations')).toBe(3)
    },
  )

  test('rate_limited says when to come back', async () => {
    const limits = { mode: 'live', requests_per_minute: 1 }
    const { key } = await service.app.createKey(service.account, limits)
    const once = new OpenAI({ baseURL: service.baseURL, apiKey: key, maxRetries: 0 })
    const ask = () => once.images.generate({ prompt: 'a banana' })
    await ask()
    const error = await failure(ask())
    expect(error).toMatchObject({ status: 429, code: 'rate_limited', type: 'rate_limit_error' })
    expect(error.headers?.get('x-should-retry')).toBe('true')
    expect(Number(error.headers?.get('retry-after'))).toBeGreaterThan(0)
  })

  test('a repeat under the same Idempotency-Key is paid for once', async () => {
    const headers = { 'Idempotency-Key': 'one' }
    const [first, second] = [
      await client.images.generate({ prompt: 'a banana' }, { headers }),
      await client.images.generate({ prompt: 'a banana' }, { headers }),
    ]
    expect(second).toEqual(first)
    const other = client.images.generate({ prompt: 'another' }, { headers })
    expect(await failure(other)).toMatchObject({ status: 422, code: 'idempotency_mismatch' })
  })
})
