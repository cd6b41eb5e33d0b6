import { z } from 'zod'
import { text } from './text.ts'

export const limit = () =>
  z.int().min(1).max(100).default(20).describe('Number of entries on a page, 1 to 100. Default 20.')

export const cursor = () =>
  text()
    .max(200)
    .optional()
    .describe('`next_cursor` of the page before; leave out for the first page.')

const YEAR_1 = Date.parse('0001-01-01T00:00:00Z')
const YEAR_10000 = 253_402_300_800_000
const time = () =>
  z.iso
    .datetime({ offset: true, error: 'must be an RFC 3339 time such as 2026-11-23T09:30:00Z' })
    .refine(isStorable, { error: 'must lie between the years 1 and 9999' })

// An offset can take a time out of the years that RFC 3339 can write, and Postgres has no year 0.
function isStorable(value: string): boolean {
  const ms = Date.parse(value)
  return ms >= YEAR_1 && ms < YEAR_10000
}

export const createdAfter = () =>
  time().optional().describe('RFC 3339 time: only what was made then or later.')

export const createdBefore = () =>
  time().optional().describe('RFC 3339 time: only what was made before it.')

/** A page of a list, newest first. */
export const page = <T extends z.ZodType>(item: T) =>
  z.object({
    data: z.array(item),
    next_cursor: z
      .string()
      .nullable()
      .describe('Pass as `cursor` for the next page; null on the last one.'),
  })

/** Input of a procedure that takes none: unknown fields are still refused. */
export const NoInput = z.strictObject({}).optional()
