/** What a refused candidate carries in place of parts. */
export type RefusedContent = 'empty' | 'role' | 'null-parts' | 'absent'

/** Adjusts a scenario. All are optional; each scenario reads only those that concern it. */
export interface ScenarioSettings {
  /** Wait before the headers, in milliseconds. */
  delayMs?: number
  /** Wait between two slices of the body, in milliseconds. */
  pauseMs?: number
  /** Bytes per slice when the body is sent slowly; a tenth of the body by default. */
  sliceBytes?: number
  /** Compress the body if the caller accepts it. */
  gzip?: boolean
  /** Further response headers. */
  headers?: Record<string, string>
  /** Bytes of each thoughtSignature on the wire. */
  signatureBytes?: number
  /** Number of pictures in the answer. */
  images?: number
  /** The text part of the answer. */
  text?: string
  /** Size of a streamed body. */
  bytes?: number
  /** Declared mime type of the picture. */
  mimeType?: string
  /** HTTP status of an error. */
  status?: number
  /** Google's name of an error, such as UNAVAILABLE. */
  code?: string
  /** Text of an error. */
  message?: string
  /** RetryInfo delay of a quota error, such as `34.4s`. */
  retryDelay?: string
  blockReason?: string
  finishReason?: string
  /** Google's sentence about a refusal; the empty string leaves it out. */
  finishMessage?: string
  content?: RefusedContent
  /** Where a redirect points. */
  location?: string
  /** Body of a raw answer. */
  body?: string
  contentType?: string
}

type Kind = 'number' | 'string' | 'boolean' | 'headers' | readonly string[]

export const SETTING_KINDS: Readonly<Record<keyof ScenarioSettings, Kind>> = {
  delayMs: 'number',
  pauseMs: 'number',
  sliceBytes: 'number',
  gzip: 'boolean',
  headers: 'headers',
  signatureBytes: 'number',
  images: 'number',
  text: 'string',
  bytes: 'number',
  mimeType: 'string',
  status: 'number',
  code: 'string',
  message: 'string',
  retryDelay: 'string',
  blockReason: 'string',
  finishReason: 'string',
  finishMessage: 'string',
  content: ['empty', 'role', 'null-parts', 'absent'],
  location: 'string',
  body: 'string',
  contentType: 'string',
}
