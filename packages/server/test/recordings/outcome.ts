import { z } from 'zod'
import type { RecordedAnswer } from './read.ts'

/** What a caller of ours must be told when the provider answers this, however often it is asked. */
export interface Outcome {
  readonly status: number
  /** Of the error; undefined for a picture. */
  readonly code?: string
  /** Of the picture, by its own bytes. */
  readonly mimeType?: string
  /** Calls that the answer is worth: the first, and the repeats it allows. */
  readonly calls: number
  /** What the caller is asked to wait for, at least. */
  readonly retryAfterSeconds?: number
}

const OUTCOMES = {
  blocked: { status: 422, code: 'content_blocked', calls: 1 },
  withoutImage: { status: 422, code: 'no_image', calls: 2 },
  useless: { status: 424, code: 'upstream_invalid', calls: 1 },
  refused: { status: 424, code: 'upstream_failed', calls: 1 },
  limited: { status: 503, code: 'upstream_rate_limited', calls: 3 },
  unavailable: { status: 503, code: 'upstream_unavailable', calls: 3 },
  late: { status: 503, code: 'upstream_timeout', calls: 2 },
} satisfies Record<string, Outcome>

const REFUSAL = /^(IMAGE_)?(SAFETY|PROHIBITED_CONTENT|RECITATION)$|^(BLOCKLIST|SPII)$/

const Candidates = z.array(
  z.looseObject({
    finishReason: z.string().optional(),
    content: z
      .looseObject({
        parts: z
          .array(z.looseObject({ inlineData: z.object({ data: z.string() }).optional() }))
          .optional(),
      })
      .optional(),
  }),
)

/**
 * The documented result of an answer, by rules of its own. Answers of other methods are sent as if
 * they came for ours: their errors mean the same everywhere, their successes mean nothing here.
 */
export function outcomeOf({ status, body, name }: RecordedAnswer): Outcome {
  if (body['error'] !== undefined) return outcomeOfError(status, body['error'], name)
  if (status !== 200) throw new Error(`${name}: a ${status} without an error is not known`)
  const { promptFeedback: feedback, candidates } = body
  if (feedback !== undefined && candidates === undefined) return OUTCOMES.blocked
  // Vertex' `predict`, and Google's interactions.
  if (['predictions', 'outputs', 'steps'].some((field) => body[field] !== undefined))
    return OUTCOMES.useless
  const [candidate] = Candidates.parse(candidates)
  if (candidate === undefined) throw new Error(`${name}: no candidate and no feedback`)
  const data = candidate.content?.parts?.find(({ inlineData }) => inlineData)?.inlineData?.data
  if (data !== undefined) return { status: 200, mimeType: mimeTypeOf(data), calls: 1 }
  return REFUSAL.test(candidate.finishReason ?? '') ? OUTCOMES.blocked : OUTCOMES.withoutImage
}

const mimeTypeOf = (base64: string): string =>
  base64.startsWith('iVBORw0KGgo') ? 'image/png' : 'image/jpeg'

function outcomeOfError(httpStatus: number, error: unknown, name: string): Outcome {
  const text = JSON.stringify(error)
  const status = httpStatus === 200 ? z.object({ code: z.int() }).parse(error).code : httpStatus
  if ([400, 401, 403, 404].includes(status)) return OUTCOMES.refused
  if (status === 429) return outcomeOfQuota(text)
  if (status === 504 || (status === 503 && /deadline expired/i.test(text))) return OUTCOMES.late
  if ([500, 502, 503].includes(status)) return OUTCOMES.unavailable
  throw new Error(`${name}: the documents do not say what ${status} means`)
}

function outcomeOfQuota(text: string): Outcome {
  if (/limit: 0\b|PerDay/.test(text)) return OUTCOMES.refused
  const [, seconds = '0'] = /"retryDelay":"([\d.]+)s"/.exec(text) ?? []
  const retryAfterSeconds = Math.ceil(Number(seconds))
  return { ...OUTCOMES.limited, retryAfterSeconds, calls: Number(seconds) <= 10 ? 3 : 1 }
}
