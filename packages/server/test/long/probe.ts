// Asks an address at a fixed rate, whether or not the earlier answers have come:
//   node probe.ts PER_SECOND [URL]
// Told to end, it prints the milliseconds that each answer took, as JSON. Without a URL it asks a
// bare server in a thread of its own: what the machine, as busy as it is, lets anybody have.
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { isMainThread, parentPort, Worker } from 'node:worker_threads'

/** A failure counts as slower than any answer. */
const FAILED = 1e9

function serveNothing(): void {
  const server = http.createServer((_request, response) => response.end('{"status":"ok"}'))
  server.listen(0, '127.0.0.1', () => {
    const { port } = server.address() as AddressInfo
    // oxlint-disable-next-line unicorn/require-post-message-target-origin
    parentPort?.postMessage(`http://127.0.0.1:${port}`)
  })
}

async function bareServer(): Promise<string> {
  const worker = new Worker(new URL(import.meta.url))
  worker.unref()
  return new Promise((resolve) => worker.once('message', resolve))
}

const ask = (url: string, agent: http.Agent): Promise<number> =>
  new Promise((resolve) => {
    const started = performance.now()
    const end = (ms: number) => resolve(Math.round(ms * 10) / 10)
    http
      .get(url, { agent }, ({ statusCode }) =>
        end(statusCode === 200 ? performance.now() - started : FAILED),
      )
      .once('response', (response: http.IncomingMessage) => response.resume())
      .once('error', () => end(FAILED))
  })

async function probe(given: string | undefined, perSecond: number): Promise<void> {
  const url = given ?? (await bareServer())
  const agent = new http.Agent({ keepAlive: true, maxFreeSockets: perSecond })
  // Connections for a second of silence, so that none is opened while it is measured.
  await Promise.all(Array.from({ length: perSecond }, () => ask(url, agent)))
  const latencies: Promise<number>[] = []
  const timer = setInterval(() => latencies.push(ask(url, agent)), 1000 / perSecond)
  process.once('SIGTERM', async () => {
    clearInterval(timer)
    process.stdout.write(JSON.stringify(await Promise.all(latencies)))
    agent.destroy()
  })
  process.stdout.write(`probing ${url}\n`)
}

const [perSecond = '100', url] = process.argv.slice(2)
if (isMainThread) await probe(url, Number(perSecond))
else serveNothing()
