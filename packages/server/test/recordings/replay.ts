import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import type { RecordedAnswer } from './read.ts'

export interface Replay extends AsyncDisposable {
  readonly url: string
  /** Paths that were asked for since the last `play`. */
  readonly calls: readonly string[]
  /** Gives this answer to every call from now on. */
  play(answer: Pick<RecordedAnswer, 'status' | 'headers' | 'body'>): void
}

/** A provider that says the same to everybody, in chunks and without a length, as Google does. */
export async function startReplay(): Promise<Replay> {
  const calls: string[] = []
  let playing: Parameters<Replay['play']>[0] | undefined
  const server = http.createServer((request, response) => {
    calls.push(`${request.method} ${request.url}`)
    request.resume().once('end', () => {
      const { status, headers, body } = playing ?? { status: 500, headers: {}, body: {} }
      response.writeHead(status, headers)
      const text = JSON.stringify(body, null, 2)
      const half = Math.floor(text.length / 2)
      response.write(text.slice(0, half))
      response.end(text.slice(half))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    play(answer) {
      playing = answer
      calls.length = 0
    },
    async [Symbol.asyncDispose]() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}
