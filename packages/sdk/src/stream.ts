import { type Bounds, createBounds } from './bounds.ts'
import { withAnswer, type WithResponse } from './call.ts'
import { type Config, credentialOf } from './config.ts'
import { ConnectionError, PermissionDeniedError } from './errors.ts'
import { readEvents } from './event-lines.ts'
import { type Exchange, startExchange } from './exchange.ts'
import { type GenerateOptions, newIdempotencyKey } from './generate-options.ts'
import { createImageReader } from './image-reader.ts'
import { type GenerateParams, toBody } from './image-source.ts'
import { fetchOk } from './rest.ts'
import { type ImageReader, readable, type StreamEvent } from './results.ts'
import { pause } from './retry.ts'

/** The events of a generation, as they come. */
export interface EventStream extends AsyncIterableIterator<StreamEvent, void, undefined> {
  /** Resolves with the first event on its way: this stream and the headers of its answer. */
  withResponse(): Promise<WithResponse<EventStream>>
}

/** Three heartbeats. */
const SILENCE_MS = 45_000

const ENDS: ReadonlySet<string> = new Set([
  'generation.succeeded',
  'generation.failed',
  'generation.canceled',
])

/** How far a stream has come. */
interface Progress {
  readonly bounds: Bounds
  readonly init: RequestInit
  lastEventId: string
  failures: number
  mayRead: boolean
}

export function createStream(
  config: Config,
  cancel: (id: string) => void,
): (params: GenerateParams, options?: GenerateOptions) => EventStream {
  const reader = createImageReader(config)
  return (params, options = {}) => {
    let opened: Exchange | undefined
    const onOpen = (exchange: Exchange) => void (opened ??= exchange)
    const events = eventsOf(config, reader, params, options, { cancel, onOpen })
    let first: Promise<IteratorResult<StreamEvent, void>> | undefined
    const stream: EventStream = {
      next: () => {
        const next = first ?? events.next()
        first = undefined
        return next
      },
      return: () => events.return(),
      [Symbol.asyncIterator]: () => stream,
      withResponse: async () => {
        first ??= events.next()
        await first
        return withAnswer(stream, opened?.answer)
      },
    }
    return stream
  }
}

interface Listener {
  cancel(id: string): void
  onOpen(exchange: Exchange): void
}

async function* eventsOf(
  config: Config,
  reader: ImageReader,
  params: GenerateParams,
  options: GenerateOptions,
  { cancel, onOpen }: Listener,
): AsyncGenerator<StreamEvent, void, undefined> {
  const bounds = createBounds(config, options)
  const init = await requestOf(config, params, options)
  const progress: Progress = { bounds, init, lastEventId: '', failures: 0, mayRead: true }
  for (;;) {
    const exchange = startExchange(config, {
      repeatable: true,
      timeoutMs: bounds.attemptMs(),
      bounds,
    })
    try {
      const response = await open(config, exchange, progress)
      onOpen(exchange)
      for await (const event of listen(response, exchange, reader, progress)) {
        yield event
        if (ENDS.has(event.type)) return
      }
      throw new ConnectionError('The stream broke off.', { shouldRetry: true })
    } catch (thrown) {
      await again(progress, exchange.toError(thrown), cancel)
    } finally {
      exchange.end()
    }
  }
}

/** Waits for the next attempt; throws the error where there is none. */
async function again(
  progress: Progress,
  error: unknown,
  cancel: (id: string) => void,
): Promise<void> {
  const { bounds } = progress
  const { generationId: id } = bounds
  if (error instanceof PermissionDeniedError && id !== undefined && progress.mayRead) {
    progress.mayRead = false
    return
  }
  try {
    await pause(bounds, error, progress.failures++, true)
  } catch (last) {
    if (bounds.signal?.aborted && id !== undefined) cancel(id)
    throw last
  }
}

async function requestOf(
  config: Config,
  params: GenerateParams,
  options: GenerateOptions,
): Promise<RequestInit> {
  const body = await toBody(params)
  const isForm = body instanceof FormData
  return {
    method: 'POST',
    headers: {
      ...credentialOf(config),
      'idempotency-key': options.idempotencyKey ?? newIdempotencyKey(),
      ...(isForm ? {} : { 'content-type': 'application/json' }),
    },
    body: isForm ? body : JSON.stringify(body),
  }
}

/** Begins the generation, or goes on after the last event; a key that may not read asks by repeating. */
function open(config: Config, exchange: Exchange, progress: Progress): Promise<Response> {
  const { bounds, init, lastEventId, mayRead } = progress
  const events = {
    accept: 'text/event-stream',
    ...(lastEventId === '' ? {} : { 'last-event-id': lastEventId }),
  }
  const { generationId: id } = bounds
  if (id === undefined || !mayRead) {
    const headers = { ...(init.headers as Record<string, string>), ...events }
    return fetchOk(exchange, `${config.baseUrl}/v1/generate`, { ...init, headers })
  }
  const headers = { ...credentialOf(config), ...events }
  const url = `${config.baseUrl}/v1/generations/${encodeURIComponent(id)}`
  return fetchOk(exchange, url, { headers })
}

async function* listen(
  { body }: Response,
  exchange: Exchange,
  reader: ImageReader,
  progress: Progress,
): AsyncGenerator<StreamEvent, void, undefined> {
  if (body === null) return
  const rest = () => exchange.extend(Math.min(SILENCE_MS, progress.bounds.remainingMs()))
  rest()
  for await (const { id, data } of readEvents(body, rest)) {
    progress.lastEventId = id ?? progress.lastEventId
    progress.failures = 0
    const event = JSON.parse(data) as StreamEvent
    // Its reader may take as long as it likes.
    exchange.extend(Number.POSITIVE_INFINITY)
    yield { ...event, data: readable(event.data, reader) } as StreamEvent
    rest()
  }
}
