import { GoogleGenAI } from '@google/genai'
import type { GenerateContentParameters, GenerateContentResponse, Part } from '@google/genai'
import sharp from 'sharp'

import type { Emulator } from './emulator.ts'

export const NANO_BANANA = 'gemini-nano-banana-2.1'

/** The real SDK, pointed at the emulator. */
export function createClient(
  emulator: Emulator,
  more: { apiKey?: string; apiVersion?: string } = {},
) {
  return new GoogleGenAI({
    apiKey: 'x',
    vertexai: false,
    apiVersion: 'v1',
    httpOptions: { baseUrl: emulator.url },
    ...more,
  })
}

export function generate(
  emulator: Emulator,
  prompt = 'a banana',
  more: Partial<GenerateContentParameters> = {},
): Promise<GenerateContentResponse> {
  return createClient(emulator).models.generateContent({
    model: NANO_BANANA,
    contents: prompt,
    ...more,
    config: { automaticContinuation: false, ...more.config },
  })
}

/** A request without the SDK, for what the SDK would hide or refuse. */
export function post(emulator: Emulator, body: unknown, path?: string, init: RequestInit = {}) {
  return fetch(emulator.url + (path ?? `/v1/models/${NANO_BANANA}:generateContent`), {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-goog-api-key': 'x' },
    body: JSON.stringify(body),
    ...init,
  })
}

export function promptBody(text: string, generationConfig?: unknown) {
  return {
    contents: [{ parts: [{ text }], role: 'user' }],
    ...(generationConfig ? { generationConfig } : {}),
  }
}

export function partsOf(response: GenerateContentResponse): Part[] {
  return response.candidates?.[0]?.content?.parts ?? []
}

export async function pictureOf(part: Part | undefined) {
  const { format, width, height } = await sharp(
    Buffer.from(part?.inlineData?.data ?? '', 'base64'),
  ).metadata()
  return { format, pixels: `${width}x${height}` }
}

/** What a promise was rejected with, or undefined. */
export async function rejection(promise: Promise<unknown>): Promise<Error | undefined> {
  return promise.then(
    () => undefined,
    (error: unknown) => error as Error,
  )
}
