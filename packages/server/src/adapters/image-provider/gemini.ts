import { type GenerateContentConfig, GoogleGenAI } from '@google/genai'
import { type ImageProvider, type ImageRequest, ProviderError } from '../../ports/image-provider.ts'
import { readAnswer } from './gemini-answer.ts'
import { fromThrown } from './gemini-failure.ts'
import { createTransport } from './gemini-transport.ts'

export interface GeminiOptions {
  readonly apiKey: string
  /** Default: Google's. */
  readonly baseUrl?: string
  /** Default `v1`, as the SDK's. */
  readonly apiVersion?: string
  /** Milliseconds for one call, headers and body. */
  readonly attemptTimeoutMs: number
}

const DEFAULT_API_VERSION = 'v1'

/** Google Gemini by its own SDK, on the Developer API. */
export function createGeminiProvider(options: GeminiOptions): ImageProvider {
  // Without a key the SDK would look for Google credentials on this machine.
  if (options.apiKey.trim() === '') throw new TypeError('a Gemini API key is needed')
  const client = new GoogleGenAI({
    apiKey: options.apiKey,
    // Named one by one, or the SDK reads GOOGLE_* variables that change host, path and account.
    vertexai: false,
    apiVersion: options.apiVersion ?? DEFAULT_API_VERSION,
    httpOptions: {
      ...(options.baseUrl === undefined ? {} : { baseUrl: options.baseUrl }),
      fetch: createTransport(TRANSPORT),
    },
  })
  return { generate: (request) => generate(client, options, request) }
}

/** A 4K picture with its signatures comes to about 20 MB. */
const TRANSPORT = { maxAnswerBytes: 64e6, connectTimeoutMs: 5000 }

async function generate(
  client: GoogleGenAI,
  options: GeminiOptions,
  request: ImageRequest,
): ReturnType<ImageProvider['generate']> {
  const deadline = AbortSignal.timeout(options.attemptTimeoutMs)
  try {
    const answer = await client.models.generateContent({
      model: request.model.id,
      contents: request.prompt,
      // A fresh signal per call: the SDK leaves its listener on it.
      config: { ...configOf(request), abortSignal: AbortSignal.any([request.signal, deadline]) },
    })
    return readAnswer(answer, request.model.imageTokens[request.size] ?? 0)
  } catch (error) {
    if (request.signal.aborted) throw request.signal.reason
    if (deadline.aborted) {
      throw new ProviderError('upstream_timeout', 'The provider did not answer in time.', {
        cause: error,
      })
    }
    throw fromThrown(error, options.apiKey)
  }
}

function configOf({ model, aspectRatio, size }: ImageRequest): GenerateContentConfig {
  const imageConfig = {
    ...(aspectRatio === undefined ? {} : { aspectRatio }),
    ...(model.sendsSize ? { imageSize: size } : {}),
  }
  return {
    responseModalities: ['TEXT', 'IMAGE'],
    // The SDK would go on calling, each time billed, for as long as the answer asks it to.
    automaticContinuation: false,
    ...(Object.keys(imageConfig).length === 0 ? {} : { imageConfig }),
  }
}
