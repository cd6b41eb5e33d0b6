import { GoogleGenAI } from '@google/genai'
import type { BaseLogger } from 'pino'
import type { ImageProvider, ImageRequest } from '../../ports/image-provider.ts'
import { AttemptError } from './attempt-error.ts'
import { readAnswer } from './gemini-answer.ts'
import { fromThrown } from './gemini-failure.ts'
import { buildRequest } from './gemini-request.ts'
import { createTransport, type Transport } from './gemini-transport.ts'
import { estimateOf } from './gemini-usage.ts'
import { isTimeout } from './is-timeout.ts'

export interface GeminiOptions {
  readonly apiKey: string
  /** Default: Google's. */
  readonly baseUrl?: string
  /** Default `v1`, as the SDK's. */
  readonly apiVersion?: string
  /** Milliseconds for one call, headers and body. */
  readonly attemptTimeoutMs: number
  /** Hears what only the operator can mend. */
  readonly log?: Pick<BaseLogger, 'error'>
}

const DEFAULT_API_VERSION = 'v1'

/** Google Gemini by its own SDK, on the Developer API. */
export function createGeminiProvider(options: GeminiOptions): ImageProvider {
  // Without a key the SDK would look for Google credentials on this machine.
  if (options.apiKey.trim() === '') throw new TypeError('a Gemini API key is needed')
  const transport = createTransport(TRANSPORT)
  const client = new GoogleGenAI({
    apiKey: options.apiKey,
    // Named one by one, or the SDK reads GOOGLE_* variables that change host, path and account.
    vertexai: false,
    apiVersion: options.apiVersion ?? DEFAULT_API_VERSION,
    httpOptions: {
      ...(options.baseUrl === undefined ? {} : { baseUrl: options.baseUrl }),
      fetch: transport(),
    },
  })
  return { generate: (request) => generate(client, transport, options, request) }
}

/** A 4K picture with its signatures comes to about 20 MB. */
const TRANSPORT = { maxAnswerBytes: 64e6, connectTimeoutMs: 5000 }

async function generate(
  client: GoogleGenAI,
  transport: Transport,
  options: GeminiOptions,
  request: ImageRequest,
): ReturnType<ImageProvider['generate']> {
  const deadline = AbortSignal.timeout(options.attemptTimeoutMs)
  const usualImageTokens = request.model.imageTokens[request.size] ?? 0
  try {
    // A fresh signal per call: the SDK leaves its listener on it.
    const signal = AbortSignal.any([request.signal, deadline])
    const answer = await client.models.generateContent(buildRequest(request, { transport, signal }))
    return readAnswer(answer, usualImageTokens)
  } catch (error) {
    const { aborted, reason } = request.signal
    if (aborted && !isTimeout(reason)) throw reason
    const { apiKey } = options
    const failure = fromThrown(error, { apiKey, estimate: estimateOf(usualImageTokens) })
    raiseAlarm(failure, request, options)
    throw failure
  }
}

function raiseAlarm(failure: unknown, { model }: ImageRequest, { log }: GeminiOptions): void {
  if (!(failure instanceof AttemptError) || failure.alarm === undefined) return
  log?.error({ err: failure.cause, model: model.id }, failure.alarm)
}
