import { asObject, isObject } from './json.ts'
import type { JsonObject } from './json.ts'
import type { JsonReply } from './reply.ts'

const TEXT_CHUNK_LENGTH = 16

/** Cuts an answer into the pieces a stream brings: small texts, whole pictures, a closing piece. */
export function streamPieces({ body, streamEnd }: JsonReply): unknown[] {
  const { candidates, usageMetadata, ...common } = asObject(body)
  const candidate = asObject(Array.isArray(candidates) ? candidates[0] : undefined)
  const { content, ...ending } = candidate
  const { parts } = asObject(content)
  if (!Array.isArray(parts)) return [body]
  const usage = asObject(usageMetadata)
  const pieces = parts.flatMap(splitPart).map((part, index) => ({
    candidates: [{ content: { parts: [part], role: 'model' }, index: 0 }],
    usageMetadata: partialUsage(usage, index + 1),
    ...common,
  }))
  if (streamEnd === 'missing') return pieces
  if (streamEnd) return [pieces[0], streamEnd]
  const last = { candidates: [{ content: { role: 'model' }, ...ending }], usageMetadata, ...common }
  return [...pieces, last]
}

export function asEvents(pieces: readonly unknown[]): string {
  return pieces.map((piece) => `data: ${JSON.stringify(piece)}\r\n\r\n`).join('')
}

function splitPart(part: unknown): unknown[] {
  if (!isObject(part) || typeof part.text !== 'string') return [part]
  const { text, ...first } = part
  const count = Math.max(1, Math.ceil(text.length / TEXT_CHUNK_LENGTH))
  return Array.from({ length: count }, (_, index) => ({
    ...(index === 0 ? first : part.thought !== undefined && { thought: part.thought }),
    text: text.slice(index * TEXT_CHUNK_LENGTH, (index + 1) * TEXT_CHUNK_LENGTH),
  }))
}

/** The count of the answer grows from piece to piece and is whole only in the last one. */
function partialUsage(usage: JsonObject, pieces: number): JsonObject {
  const { candidatesTokensDetails: _, candidatesTokenCount, ...rest } = usage
  const prompt = Number(usage.totalTokenCount) - Number(candidatesTokenCount)
  return { ...rest, candidatesTokenCount: pieces, totalTokenCount: prompt + pieces }
}
