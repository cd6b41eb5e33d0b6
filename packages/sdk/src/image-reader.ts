import { type Bounds, type CallOptions, createBounds } from './bounds.ts'
import { type Config, credentialOf } from './config.ts'
import { bytesOfDataUrl, isDataUrl } from './base64.ts'
import { ConnectionError, NanoBananaError } from './errors.ts'
import { type Exchange, startExchange } from './exchange.ts'
import { writeFile } from './files.ts'
import type { Image } from './generated/types.ts'
import { fetchOk } from './rest.ts'
import type { ImageReader } from './results.ts'
import { retrying } from './retry.ts'

type Use<T> = (response: Response, exchange: Exchange) => Promise<T>

/** Reads images from where they are, and from the service where their address is no longer good. */
export function createImageReader(config: Config): ImageReader {
  const read = async <T>(image: Image, options: CallOptions | undefined, use: Use<T>) => {
    const bounds = createBounds(config, options)
    const sources = sourcesOf(config, image)
    for (const [i, source] of sources.entries()) {
      try {
        return await retrying(bounds, true, (timeoutMs) =>
          readOnce(config, source, { timeoutMs, bounds }, use),
        )
      } catch (error) {
        if (i === sources.length - 1 || !isGone(error)) throw error
      }
    }
    throw new Error('unreachable')
  }
  const bytes: ImageReader['bytes'] = async (image, options) => {
    if (isDataUrl(image.url)) return bytesOfDataUrl(image.url)
    return read(image, options, async (response, exchange) => {
      const buffer = await response.arrayBuffer()
      exchange.end()
      return new Uint8Array(buffer)
    })
  }
  return {
    bytes,
    stream: async (image, options) =>
      isDataUrl(image.url)
        ? new Blob([bytesOfDataUrl(image.url)]).stream()
        : read(image, options, async (response, exchange) => {
            exchange.extend(Number.POSITIVE_INFINITY)
            return endingWith(response.body, exchange)
          }),
    save: async (image, path, options) => writeFile(path, await bytes(image, options)),
  }
}

interface Source {
  readonly url: string
  readonly init: RequestInit
}

/** The credential goes to the configured service only, never where an answer points. */
function sourcesOf(config: Config, { id, url }: Image): Source[] {
  const path = `/v1/images/${encodeURIComponent(id)}/content`
  const own: Source = { url: config.baseUrl + path, init: { headers: credentialOf(config) } }
  // The lasting address, under whatever name the service knows itself.
  if (url === null || url.split('?', 1)[0]?.endsWith(path)) return [own]
  return [{ url, init: { redirect: 'follow' } }, own]
}

async function readOnce<T>(
  config: Config,
  { url, init }: Source,
  limits: { timeoutMs: number; bounds: Bounds },
  use: Use<T>,
): Promise<T> {
  const exchange = startExchange(config, { repeatable: true, ...limits })
  try {
    return await use(await fetchOk(exchange, url, init), exchange)
  } catch (error) {
    const thrown = exchange.toError(error)
    exchange.end()
    throw thrown
  }
}

/** Signed addresses expire, and an address of a proxy's inside may not be reachable from outside. */
const isGone = (error: unknown): boolean =>
  error instanceof NanoBananaError &&
  (error instanceof ConnectionError || (error.status !== undefined && error.status < 500))

/** A stream that ends its exchange when it is over, or given up. */
function endingWith(
  body: ReadableStream<Uint8Array> | null,
  exchange: Exchange,
): ReadableStream<Uint8Array> {
  const reader = (body ?? new Blob([]).stream()).getReader()
  return new ReadableStream({
    pull: async (controller) => {
      try {
        const { done, value } = await reader.read()
        if (!done) return controller.enqueue(value)
        exchange.end()
        controller.close()
      } catch (error) {
        controller.error(exchange.toError(error))
        exchange.end()
      }
    },
    cancel: () => exchange.end(),
  })
}
