import { createHash } from 'node:crypto'
import { ASPECT_RATIOS, MODELS, type Model } from '@nanobanana/shared'
import { describe, expect, it } from 'vitest'
import type { EncodedImage } from '../../ports/image-codec.ts'
import { ProviderError, type ImageRequest } from '../../ports/image-provider.ts'
import { createSharpCodec } from '../image-codec/sharp.ts'
import { drawPicture } from './sandbox-picture.ts'
import { pixelSize } from './pixel-sizes.ts'
import { createSandboxProvider, footerOf } from './sandbox.ts'

const codec = createSharpCodec()
const sandbox = createSandboxProvider({ codec })
const modelOf = (id: string): Model => MODELS.find((model) => model.id === id)!

const imageOf = (text: string): EncodedImage => ({
  mimeType: 'image/png',
  bytes: Buffer.from(text),
})
const SEED = Buffer.alloc(32, 7)

const generate = (request: Partial<ImageRequest>) =>
  sandbox.generate({
    model: modelOf('gemini-nano-banana-2.1'),
    prompt: 'a banana',
    size: '1K',
    signal: new AbortController().signal,
    ...request,
  })

const failureOf = async (request: Partial<ImageRequest>): Promise<unknown> => {
  const failure: unknown = await generate(request).catch((error: unknown) => error)
  return failure
}

describe('the sandbox', () => {
  it('makes a JPEG as Gemini 3 does, with the tokens it would count', async () => {
    const { bytes, text, usage } = await generate({ prompt: 'nine char', aspectRatio: '16:9' })
    expect(await codec.measure(bytes)).toEqual({ mimeType: 'image/jpeg', width: 1376, height: 768 })
    expect(text).toBeNull()
    expect(usage).toEqual({ inputTokens: 3, textOutputTokens: 0, imageOutputTokens: 1120 })
  })

  it('makes a PNG of the size of Gemini 2.5', async () => {
    const model = modelOf('gemini-2.5-flash-image')
    const { bytes, usage } = await generate({ model, aspectRatio: '9:16' })
    expect(await codec.measure(bytes)).toEqual({ mimeType: 'image/png', width: 768, height: 1344 })
    expect(usage.imageOutputTokens).toBe(1290)
  })

  it('makes a square where no ratio was asked for', async () => {
    expect(await codec.measure((await generate({})).bytes)).toMatchObject({
      width: 1024,
      height: 1024,
    })
  })

  it('makes every ratio', async () => {
    const model = modelOf('gemini-3.1-flash-image')
    for (const aspectRatio of ASPECT_RATIOS) {
      const { bytes } = await generate({ model, aspectRatio, size: '512' })
      expect(await codec.measure(bytes)).toBeDefined()
    }
  })

  it('makes 4K', async () => {
    const { bytes, usage } = await generate({ size: '4K', aspectRatio: '21:9' })
    expect(await codec.measure(bytes)).toMatchObject({ width: 6336, height: 2688 })
    expect(usage.imageOutputTokens).toBe(3780)
  })

  it('makes the same picture of the same request, and another of another', async () => {
    const [one, same, other] = await Promise.all([
      generate({ prompt: 'one' }),
      generate({ prompt: 'one' }),
      generate({ prompt: 'other' }),
    ])
    expect(Buffer.from(one.bytes).equals(Buffer.from(same.bytes))).toBe(true)
    expect(Buffer.from(one.bytes).equals(Buffer.from(other.bytes))).toBe(false)
  })

  it('makes another picture with other images, another order, seed or thinking level', async () => {
    const [one, other] = [imageOf('one'), imageOf('other')]
    const requests: Partial<ImageRequest>[] = [
      {},
      { seed: 0 },
      { seed: 1 },
      { thinkingLevel: 'high' },
      { thinkingLevel: 'minimal' },
      { images: [one] },
      { images: [other] },
      { images: [one, other] },
      { images: [other, one] },
      { images: [one, other], seed: 1, thinkingLevel: 'high' },
    ]
    const twice = await Promise.all([...requests, ...requests].map(generate))
    const hashes = twice.map(({ bytes }) => createHash('sha256').update(bytes).digest('hex'))
    expect(new Set(hashes).size).toBe(requests.length)
    expect(hashes.slice(requests.length)).toEqual(hashes.slice(0, requests.length))
  })

  it('counts 258 tokens for each image', async () => {
    const images = [imageOf('one'), imageOf('other'), imageOf('one')]
    expect((await generate({ prompt: 'nine char', images })).usage.inputTokens).toBe(3 + 3 * 258)
  })

  it('says in every ratio how many images there were, and the settings', async () => {
    const said = footerOf(
      {
        model: modelOf('gemini-3.1-flash-image'),
        prompt: 'x',
        size: '512',
        images: Array.from({ length: 14 }, () => imageOf('x')),
        seed: 2_147_483_647,
        thinkingLevel: 'minimal',
        signal: new AbortController().signal,
      },
      { mimeType: 'image/jpeg', width: 6336, height: 2688 },
    )
    expect(said.slice(-3)).toEqual(['14 reference images', 'seed 2147483647', 'thinking minimal'])
    for (const aspectRatio of ASPECT_RATIOS) {
      const [width, height] = pixelSize('gemini-3.1-flash-image', aspectRatio)
      const svg = drawPicture({ prompt: 'x', seed: SEED, footer: said, width, height })
      for (const word of said.flatMap((part) => part.split(' '))) expect(svg).toContain(word)
    }
  })

  it('counts code points, not halves of them', async () => {
    expect((await generate({ prompt: '🍌'.repeat(8) })).usage.inputTokens).toBe(2)
  })

  it.each([
    ['emoji alone', '🍌🍌👩‍🚀'],
    ['Chinese', '猫在海滩上吃香蕉'.repeat(20)],
    ['Arabic and Hebrew', 'مرحبا بالعالم שלום עולם'],
    ['marks upon marks', `z${'\u0301'.repeat(400)}`],
    ['markup', '</text></svg><script>alert(1)</script><![CDATA[ &amp; "\']]>'],
    ['an entity bomb', '<!DOCTYPE x [<!ENTITY a "aaaa">]>&a;&a;'],
    ['a file to include', '<image href="file:///etc/passwd"/><use href="http://example.com/#x"/>'],
    ['control characters', 'a\u0000\u0008\u001b[31mb\ud800\uffff'],
    ['8192 code points', 'x🍌'.repeat(4096)],
    ['only spaces', '   '],
  ])('draws a prompt of %s', async (_what, prompt) => {
    const { bytes } = await generate({ prompt })
    expect(await codec.measure(bytes)).toMatchObject({ width: 1024 })
  })

  it('draws a prompt as text, never as elements', () => {
    const prompt = '<image href="x"/> & <script>'
    const svg = drawPicture({ prompt, seed: SEED, footer: ['<b>'], width: 1024, height: 1024 })
    expect(svg).not.toMatch(/<(image|script|b)\b/)
    for (const part of ['&lt;image href=&quot;x&quot;/&gt;', '&amp; &lt;script&gt;']) {
      expect(svg).toContain(`>${part}</text>`)
    }
  })

  it('shows the prompt, so that prompts of one length differ in their letters', () => {
    const draw = (prompt: string) =>
      drawPicture({ prompt, seed: SEED, footer: ['1K'], width: 1024, height: 1024 })
    expect(draw('a quiet harbour')).toContain('a quiet harbour')
    expect(draw('a quiet harbour')).toContain('>1K<')
  })

  it('leaves the event loop free', async () => {
    let turns = 0
    const timer = setInterval(() => turns++, 1)
    await generate({ size: '4K' })
    clearInterval(timer)
    // Drawn and encoded on the loop it would be none or one.
    expect(turns).toBeGreaterThan(5)
  })
})

describe('a sandbox scenario', () => {
  it.each([
    ['content_blocked', 'content_blocked', undefined],
    ['no_image', 'no_image', undefined],
    ['rate_limited', 'upstream_rate_limited', 2000],
    ['unavailable', 'upstream_unavailable', undefined],
  ])('%s fails with %s', async (scenario, code, retryAfterMs) => {
    const failure = await failureOf({ prompt: `a cat #sandbox:${scenario} please` })
    expect(failure).toBeInstanceOf(ProviderError)
    expect(failure).toMatchObject({ code, retryAfterMs })
  })

  it('slow waits and then makes the picture', async () => {
    const started = performance.now()
    await generate({ prompt: '#sandbox:slow=0.3' })
    expect(performance.now() - started).toBeGreaterThan(290)
  })

  it('slow goes together with another', async () => {
    const started = performance.now()
    const failure = await failureOf({ prompt: '#sandbox:slow=0.2 #sandbox:unavailable' })
    expect(failure).toMatchObject({ code: 'upstream_unavailable' })
    expect(performance.now() - started).toBeGreaterThan(190)
  })

  it.each([
    '#sandbox:',
    '#sandbox:unknown',
    '#sandbox:__proto__',
    '#sandbox:constructor=1',
    '#sandbox:slow',
  ])('that is not one (%s) is text', async (prompt) => {
    expect((await generate({ prompt })).bytes.length).toBeGreaterThan(0)
  })
})

describe('an aborted sandbox call', () => {
  it('rejects with the reason, before it starts', async () => {
    const reason = new Error('shutdown')
    expect(await failureOf({ signal: AbortSignal.abort(reason) })).toBe(reason)
  })

  it('rejects with the reason while it is slow, however long that would be', async () => {
    const controller = new AbortController()
    const reason = new Error('timeout')
    setTimeout(() => controller.abort(reason), 30)
    const started = performance.now()
    const { signal } = controller
    expect(await failureOf({ prompt: '#sandbox:slow=99999999999', signal })).toBe(reason)
    expect(performance.now() - started).toBeLessThan(1000)
  })

  it('rejects with the reason while it draws', async () => {
    const controller = new AbortController()
    setTimeout(() => controller.abort(), 5)
    expect(await failureOf({ signal: controller.signal, size: '4K' })).toMatchObject({
      name: 'AbortError',
    })
  })
})
