import { z } from 'zod'
import { text } from './text.ts'

export const limit = () =>
  z.int().min(1).max(100).default(20).describe('Number of entries on a page, 1 to 100. Default 20.')

export const cursor = () =>
  text()
    .max(200)
    .optional()
    .describe('`next_cursor` of the page before; leave out for the first page.')

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
