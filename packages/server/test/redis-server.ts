import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'

/** Debian's package; a machine without it skips what needs it. */
export const HAS_REDIS = spawnSync('redis-server', ['--version']).status === 0

/** A server of its own for tests that ill-treat it; nothing of it is on the disk. */
export interface RedisServer extends AsyncDisposable {
  readonly url: string
  /** One command over a connection of its own. */
  command(name: string, ...args: string[]): Promise<unknown>
  signal(signal: NodeJS.Signals): void
  kill(): Promise<void>
  /** After `kill`: a new one on the same port. */
  restart(): Promise<void>
}

export async function startRedis(...options: string[]): Promise<RedisServer> {
  const port = await freePort()
  let server = await start(port, options)
  const kill = async () => {
    if (server.exitCode !== null || server.signalCode !== null) return
    server.kill('SIGKILL')
    await once(server, 'exit')
  }
  return {
    url: `redis://127.0.0.1:${port}`,
    async command(name, ...args) {
      const client = new Redis(port)
      const reply = await client.call(name, ...args)
      client.disconnect()
      return reply
    },
    signal: (signal) => void server.kill(signal),
    kill,
    async restart() {
      server = await start(port, options)
    },
    [Symbol.asyncDispose]: kill,
  }
}

async function start(port: number, options: string[]): Promise<ChildProcess> {
  const base = ['--bind', '127.0.0.1', '--port', String(port), '--save', '', '--appendonly', 'no']
  const server = spawn('redis-server', [...base, ...options], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  server.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  while (!output.includes('Ready to accept connections')) {
    if (server.exitCode !== null) throw new Error(`redis-server ended: ${output}`)
    await sleep(5)
  }
  return server
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
