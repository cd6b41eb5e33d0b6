import {
  type GenerateContentConfig,
  type GenerateContentParameters,
  ThinkingLevel,
} from '@google/genai'
import type { ImageRequest } from '../../ports/image-provider.ts'
import { markOf } from './gemini-outgoing.ts'
import type { Transport } from './gemini-transport.ts'

/** What the SDK is asked for. It sees marks in place of pictures, which `transport` carries. */
export function buildRequest(
  request: ImageRequest,
  { transport, signal }: { readonly transport: Transport; readonly signal: AbortSignal },
): GenerateContentParameters {
  const { model, prompt, images = [] } = request
  const pictures = images.map(({ mimeType }, index) => ({
    inlineData: { mimeType, data: markOf(index) },
  }))
  return {
    model: model.id,
    contents: [{ role: 'user', parts: [{ text: prompt }, ...pictures] }],
    config: {
      ...configOf(request),
      abortSignal: signal,
      httpOptions: { fetch: transport(images.map(({ bytes }) => bytes)) },
    },
  }
}

/** Without a key for what was not asked: the SDK would send some as they are. */
function configOf(request: ImageRequest): GenerateContentConfig {
  const { model, aspectRatio, size, seed, thinkingLevel } = request
  const imageConfig = {
    ...(aspectRatio === undefined ? {} : { aspectRatio }),
    ...(model.sendsSize ? { imageSize: size } : {}),
  }
  return {
    responseModalities: ['TEXT', 'IMAGE'],
    // The SDK would go on calling, each time billed, for as long as the answer asks it to.
    automaticContinuation: false,
    ...(Object.keys(imageConfig).length === 0 ? {} : { imageConfig }),
    ...(seed === undefined ? {} : { seed }),
    ...(thinkingLevel === undefined
      ? {}
      : { thinkingConfig: { thinkingLevel: LEVELS[thinkingLevel] } }),
  }
}

const LEVELS = {
  minimal: ThinkingLevel.MINIMAL,
  medium: ThinkingLevel.MEDIUM,
  high: ThinkingLevel.HIGH,
} as const
