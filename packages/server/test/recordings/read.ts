import { readFile, readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { z } from 'zod'

/** One recorded answer, as it is sent again. */
export interface RecordedAnswer {
  /** File, and which of its exchanges where there are several. */
  readonly name: string
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Record<string, unknown>
}

const Body = z.record(z.string(), z.unknown())
type Body = z.infer<typeof Body>

/** A recorder of pydantic-ai: a list of values for each header. */
const Listed = z.object({
  interactions: z.array(
    z.object({
      response: z.object({
        status: z.object({ code: z.int() }),
        headers: z.record(z.string(), z.array(z.string())),
        body: Body,
      }),
    }),
  ),
})
/** Google's own recorder: the body of a stream has a segment for each event. */
const Segmented = z.object({
  recording: z.object({
    interactions: z.array(
      z.object({
        response: z.object({
          statusCode: z.int(),
          headers: z.record(z.string(), z.string()),
          bodySegments: z.array(Body).min(1),
        }),
      }),
    ),
  }),
})
const Transcribed = z.object({ http_status: z.int(), content_type: z.string(), body: Body })
const BareError = z.object({ body: z.looseObject({ error: z.looseObject({ code: z.int() }) }) })

/** Every `*.json` of a folder; rejects for one whose form is unknown. */
export async function readRecordings(folder: string): Promise<RecordedAnswer[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.json')).toSorted()
  const read = names.map(async (name) => {
    const answers = answersOf(name, JSON.parse(await readFile(join(folder, name), 'utf8')))
    return answers.map((answer, index) => ({
      ...answer,
      name: basename(name, '.json') + (answers.length > 1 ? ` #${index + 1}` : ''),
    }))
  })
  return (await Promise.all(read)).flat()
}

function answersOf(name: string, json: unknown): Omit<RecordedAnswer, 'name'>[] {
  const listed = Listed.safeParse(json).data
  if (listed !== undefined) {
    return listed.interactions.map(({ response: { status, headers, body } }) => ({
      status: status.code,
      headers: unframed(mapValues(headers, (values) => values.join(', '))),
      body,
    }))
  }
  const segmented = Segmented.safeParse(json).data
  if (segmented !== undefined) {
    return segmented.recording.interactions.map(({ response }) => ({
      status: response.statusCode,
      headers: unframed(response.headers),
      body: response.bodySegments.reduce(joinEvents),
    }))
  }
  const transcribed = Transcribed.safeParse(json).data
  if (transcribed !== undefined) {
    const { http_status: status, content_type: type, body } = transcribed
    return [{ status, headers: { 'content-type': type }, body }]
  }
  const { body } = BareError.safeParse(json).data ?? {}
  if (body === undefined) throw new Error(`${name} has a form that is not known`)
  return [{ status: body.error.code, headers: { 'content-type': JSON_TYPE }, body }]
}

const JSON_TYPE = 'application/json; charset=UTF-8'

/** Of how the bytes went over the line; recorders add what was not sent, and we send our own. */
const FRAMING = ['content-length', 'transfer-encoding', 'content-encoding', 'connection']

const unframed = (headers: Record<string, string>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(headers)
      .map(([name, value]) => [name.toLowerCase(), value] as const)
      .filter(([name]) => !FRAMING.includes(name)),
  )

const mapValues = <T, U>(record: Record<string, T>, change: (value: T) => U): Record<string, U> =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [name, change(value)]))

const Event = z.looseObject({
  candidates: z
    .array(z.looseObject({ content: z.looseObject({ parts: z.array(z.unknown()).optional() }) }))
    .length(1),
})

/** A stream says in pieces what one answer says at once: its parts, in their order. */
function joinEvents(before: Body, event: Body): Body {
  const [earlier, later] = [Event.parse(before).candidates[0]!, Event.parse(event).candidates[0]!]
  const parts = [...(earlier.content.parts ?? []), ...(later.content.parts ?? [])]
  const content = { ...earlier.content, ...later.content, parts }
  return { ...before, ...event, candidates: [{ ...earlier, ...later, content }] }
}
