import { z } from 'zod'

/**
 * Base of every string input: well-formed Unicode without U+0000. Postgres refuses NUL, and a lone
 * surrogate would be stored as U+FFFD.
 */
export const text = () =>
  z.string().refine((value) => value.isWellFormed() && !value.includes('\0'), {
    error: 'must be well-formed text without NUL characters',
  })

/** Length in Unicode code points, the unit of every length bound on text. */
export const codePoints = (value: string): number => {
  let count = 0
  for (const _ of value) count++
  return count
}

const TYPE_ID_SUFFIX = '[0-7][0-9a-hjkmnp-tv-z]{25}'

/** A TypeID: prefix, underscore, 26 characters of base32 that hold a UUIDv7. */
export const typeId = (prefix: string, example: string) =>
  text()
    .regex(new RegExp(`^${prefix}_${TYPE_ID_SUFFIX}$`), `must be an id like ${example}`)
    .meta({ examples: [example] })

/** RFC 3339 UTC with milliseconds. */
export const timestamp = () =>
  z.string().meta({ format: 'date-time', examples: ['2026-11-23T09:30:00.000Z'] })
