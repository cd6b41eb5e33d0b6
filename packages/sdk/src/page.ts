import { type Call, toCall, type WithResponse } from './call.ts'

/** A page of a list, newest first. */
export interface Page<T> {
  data: T[]
  /** Pass as `cursor` for the next page; null on the last one. */
  next_cursor: string | null
}

/**
 * A list: awaited it is one page, iterated it is every entry, page after page.
 *
 * @example
 * for await (const generation of client.generations.list()) console.log(generation.id)
 */
export interface PageCall<T> extends Call<Page<T>>, AsyncIterable<T> {}

export function toPageCall<T>(
  read: (cursor?: string) => Promise<WithResponse<Page<T>>>,
): PageCall<T> {
  const call = toCall(read())
  return Object.assign(call, { [Symbol.asyncIterator]: () => entriesOf(call, read) })
}

async function* entriesOf<T>(
  first: Promise<Page<T>>,
  read: (cursor: string) => Promise<WithResponse<Page<T>>>,
): AsyncGenerator<T, void, undefined> {
  let page = await first
  for (;;) {
    yield* page.data
    if (page.next_cursor === null) return
    page = (await read(page.next_cursor)).data
  }
}
