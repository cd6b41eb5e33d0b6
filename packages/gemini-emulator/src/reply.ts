import type { GoogleErrorBody } from './google-error.ts'

/** How a body ends; everything but `complete` stops after its first half. */
export type Ending = 'complete' | 'truncated' | 'reset' | 'fin' | 'stall' | 'endless'

/** Stands in a body for the filler that is streamed in its place. */
export const FILLER = '@@filler@@'

export interface JsonReply {
  kind: 'json'
  status: number
  /** Google's own JSON: sent as it is, or as events when the caller asked for a stream. */
  body: unknown
  headers?: Record<string, string>
  ending?: Ending
  fillerBytes?: number
  /** What a stream has in place of its closing event. */
  streamEnd?: GoogleErrorBody | 'missing'
}

export interface RawReply {
  kind: 'raw'
  status: number
  /** The empty string leaves the header out. */
  contentType: string
  text: string
  headers?: Record<string, string>
  ending?: Ending
}

export interface HangUpReply {
  kind: 'hang-up'
  how: 'reset' | 'fin' | 'silence'
}

export type Reply = JsonReply | RawReply | HangUpReply
