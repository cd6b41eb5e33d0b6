import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const DOCUMENT = join(import.meta.dirname, '../../../../docs/deploy.md')
const READY_MS = 10_000

/** haproxy with the very lines that the documentation tells people to write, but for the addresses. */
export async function startBalancer(
  folder: string,
  port: number,
  servers: readonly number[],
): Promise<AsyncDisposable & { url: string }> {
  const file = join(folder, 'haproxy.cfg')
  await writeFile(file, await configOf(port, servers))
  const child = spawn('haproxy', ['-db', '-q', '-f', file], { stdio: 'inherit' })
  const ended = once(child, 'exit')
  const url = `http://127.0.0.1:${port}`
  await Promise.race([untilReady(url), ended.then(() => Promise.reject(new Error('no haproxy')))])
  return {
    url,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await ended
    },
  }
}

async function configOf(port: number, servers: readonly number[]): Promise<string> {
  const documented = /```haproxy\n(.*?)```/s.exec(await readFile(DOCUMENT, 'utf8'))?.[1]
  if (documented === undefined) throw new Error('docs/deploy.md has no haproxy block')
  const lines = documented
    .replace(/bind :\d+/, `bind 127.0.0.1:${port}`)
    .split('\n')
    .filter((line) => !/^ *server /.test(line))
  const own = servers.map((server, index) => `  server s${index} 127.0.0.1:${server}\n`)
  return `${lines.join('\n').trimEnd()}\n${own.join('')}`
}

async function untilReady(url: string): Promise<void> {
  const deadline = performance.now() + READY_MS
  for (;;) {
    const response = await fetch(`${url}/readyz`).catch(() => undefined)
    if (response?.status === 200) return
    if (performance.now() > deadline) throw new Error('nothing answers behind haproxy')
    await sleep(100)
  }
}

/** Below the range from which connections take theirs, so that a process finds it free again. */
export async function freePorts(count: number): Promise<number[]> {
  const found = new Set<number>()
  while (found.size < count) {
    const port = 20_000 + Math.floor(Math.random() * 12_000)
    if (await isFree(port)) found.add(port)
  }
  return [...found]
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer().listen(port, '127.0.0.1')
  try {
    await once(server, 'listening')
    return true
  } catch {
    return false
  } finally {
    server.close()
  }
}
