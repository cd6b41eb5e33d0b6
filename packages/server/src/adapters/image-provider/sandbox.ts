import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { renderAsync } from '@resvg/resvg-js'
import type { ImageCodec, ImageFacts, Pixels } from '../../ports/image-codec.ts'
import type { ImageProvider, ImageRequest, TokenUsage } from '../../ports/image-provider.ts'
import { limitConcurrency } from '../limit-concurrency.ts'
import { is25, pixelSize } from './pixel-sizes.ts'
import { drawPicture, FONT_FAMILY } from './sandbox-picture.ts'
import { playScenarios } from './sandbox-scenario.ts'

export interface SandboxOptions {
  readonly codec: Pick<ImageCodec, 'encode'>
  /** Default: the one in this package. */
  readonly fontFile?: string
}

const FONT_FILE = 'assets/fonts/Rubik-Medium.ttf'
const CHARACTERS_PER_TOKEN = 4
const TOKENS_PER_INPUT_IMAGE = 258
/** Drawn at once, of the four threads shared with files, sharp and bcrypt. */
const CONCURRENCY = 2

/** Makes pictures for test keys: deterministic, free, and without leaving the process. */
export function createSandboxProvider(options: SandboxOptions): ImageProvider {
  const fontFile = options.fontFile ?? findFont()
  const limited = limitConcurrency(CONCURRENCY)
  return {
    async generate(request) {
      const { signal } = request
      signal.throwIfAborted()
      await playScenarios(request.prompt, signal)
      const facts = factsOf(request)
      const pixels = await limited(async () => {
        signal.throwIfAborted()
        return render(request, facts, fontFile)
      })
      signal.throwIfAborted()
      const bytes = await options.codec.encode(pixels, facts)
      signal.throwIfAborted()
      return { bytes, text: null, usage: usageOf(request) }
    },
  }
}

function factsOf({ model, aspectRatio, size }: ImageRequest): ImageFacts {
  const [width, height] = pixelSize(model.id, aspectRatio, size)
  return { mimeType: is25(model.id) ? 'image/png' : 'image/jpeg', width, height }
}

/** Drawn at 1K whatever the size: a 4K drawing would take sixteen times as long. */
async function render(request: ImageRequest, facts: ImageFacts, fontFile: string): Promise<Pixels> {
  const { model, prompt, aspectRatio } = request
  const [width, height] = pixelSize(model.id, aspectRatio)
  const seed = await seedOf(request)
  const svg = drawPicture({ prompt, seed, footer: footerOf(request, facts), width, height })
  const font = { loadSystemFonts: false, fontFiles: [fontFile], defaultFontFamily: FONT_FAMILY }
  const image = await renderAsync(svg, { font, logLevel: 'off' })
  return { rgba: image.pixels, width: image.width, height: image.height }
}

/** Of the colours and shapes: the same for the same prompt, seed and images in their order. */
async function seedOf({ prompt, images = [], seed }: ImageRequest): Promise<Buffer> {
  const hash = createHash('sha256').update(prompt)
  // A prompt has no NUL, so that what follows one cannot be a part of it.
  if (seed !== undefined) hash.update(`\0seed ${seed}`)
  for (const { bytes } of images) {
    hash.update(`\0image ${bytes.length} `).update(bytes)
    // Megabytes each, on the only thread that answers requests.
    await setImmediate()
  }
  return hash.digest()
}

/** What stands at the foot of the picture. */
export function footerOf(request: ImageRequest, { width, height }: ImageFacts): string[] {
  const { model, aspectRatio = '1:1', size, images = [], seed, thinkingLevel } = request
  return [
    'NanoBanana sandbox',
    model.name,
    aspectRatio,
    size,
    `${width} × ${height}`,
    ...(images.length === 0 ? [] : [countOf(images.length)]),
    ...(seed === undefined ? [] : [`seed ${seed}`]),
    ...(thinkingLevel === undefined ? [] : [`thinking ${thinkingLevel}`]),
  ]
}

const countOf = (images: number): string =>
  images === 1 ? '1 reference image' : `${images} reference images`

function usageOf({ model, prompt, size, images = [] }: ImageRequest): TokenUsage {
  const promptTokens = Math.ceil([...prompt].length / CHARACTERS_PER_TOKEN)
  return {
    inputTokens: promptTokens + images.length * TOKENS_PER_INPUT_IMAGE,
    textOutputTokens: 0,
    imageOutputTokens: model.imageTokens[size] ?? 0,
  }
}

/** Upwards from here, as this file stands elsewhere once it is bundled. */
function findFont(folder = import.meta.dirname): string {
  const file = join(folder, FONT_FILE)
  if (existsSync(file)) return file
  if (dirname(folder) === folder) throw new Error(`${FONT_FILE} is missing`)
  return findFont(dirname(folder))
}
