import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { readEvents, type ServerEvent } from './event-lines.ts'

async function read(bytes: Uint8Array, sliceBytes = bytes.length): Promise<ServerEvent[]> {
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => {
      for (let i = 0; i < bytes.length; i += sliceBytes) {
        controller.enqueue(bytes.subarray(i, i + sliceBytes))
      }
      controller.close()
    },
  })
  const events: ServerEvent[] = []
  for await (const event of readEvents(body, () => {})) events.push(event)
  return events
}
const encode = (text: string) => new TextEncoder().encode(text)

test('reads ids and data, and skips comments, other fields and what has no data', async () => {
  const text = 'retry: 1000\n\n: heartbeat\n\nid: 7\nevent: a\ndata: {"a":1}\n\ndata:x\ndata: y\n\n'
  expect(await read(encode(text))).toEqual([
    { id: '7', data: '{"a":1}' },
    { id: undefined, data: 'x\ny' },
  ])
})

test('an event that was cut off is none', async () => {
  expect(await read(encode('id: 1\ndata: a\n\nid: 2\ndata: b\n'))).toEqual([{ id: '1', data: 'a' }])
})

test('reads the same however the bytes are cut, with either end of a line', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({ unit: 'grapheme' }), { maxLength: 5 }),
      fc.integer({ min: 1, max: 9 }),
      fc.constantFrom('\n', '\r\n'),
      async (texts, sliceBytes, end) => {
        const sent = texts.map((text, i) => ({ id: String(i), data: JSON.stringify(text) }))
        const lines = sent.map(({ id, data }) => `id: ${id}${end}data: ${data}${end}${end}`)
        expect(await read(encode(lines.join('')), sliceBytes)).toEqual(sent)
      },
    ),
  )
})

test('a line of many megabytes takes no time that grows with its square', async () => {
  const begun = performance.now()
  const [event] = await read(encode(`data: ${'a'.repeat(16_000_000)}\n\n`), 16_384)
  expect(event?.data).toHaveLength(16_000_000)
  expect(performance.now() - begun).toBeLessThan(3000)
})
