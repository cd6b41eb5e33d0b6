// Begins a call in a process of its own, aborts it, and prints what still keeps the process alive.
import { setTimeout as sleep } from 'node:timers/promises'
import { NanoBanana } from '../src/index.ts'

const { baseUrl, apiKey, what } = JSON.parse(process.argv[2] ?? '') as {
  baseUrl: string
  apiKey: string
  what: 'generate' | 'follow' | 'stream' | 'image'
}
/** What a process has without a call: its output. */
const OWN = new Set(['PipeWrap', 'TTYWrap', 'FSReqCallback', 'PipeConnectWrap'])
/** The cancellation of the generation, which goes out behind the caller's back. */
const CANCEL_MS = what === 'follow' || what === 'stream' ? 1500 : 0

const client = new NanoBanana({ baseUrl, apiKey })
const controller = new AbortController()
const { signal } = controller
const params = { prompt: 'aborted [[slow-headers delayMs=20000]]' }

const calls = {
  generate: () => client.generate(params, { signal }),
  follow: () => client.generate(params, { signal, waitSeconds: 1 }),
  stream: async () => {
    for await (const _ of client.generate.stream(params, { signal }));
  },
  image: async () => {
    const made = await client.generate({ prompt: 'whole' })
    const stream = await made.images[0]?.stream({ signal })
    await sleep(60_000, undefined, { signal, ref: false })
    await stream?.cancel()
  },
}

const call = calls[what]().then(
  () => 'none',
  (thrown: Error) => thrown.name,
)
await sleep(what === 'follow' || what === 'image' ? 2500 : 700)
const begun = performance.now()
controller.abort()
const error = await call
const rejectedMs = performance.now() - begun
// Sockets close in the next turns of the loop.
await sleep(50 + CANCEL_MS)
const left = process.getActiveResourcesInfo().filter((name) => !OWN.has(name))
process.stdout.write(JSON.stringify({ error, rejectedMs, left }))
